"""A disk that becomes full under every command that writes: named, without litter, and the command goes on afterwards.

Two kinds of full disk: a file system of which little is free (real, where this user may mount one: it says so where
not), and a limit of a file's size, which every system has. Of each command several sizes are tried, so that it fails
early, late, and not at all; then the same command is given again with space enough, and must do all of its work.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import pytest
import yaml

from kormo_plugins.cli.main import NOUNS, cli
from kormo_plugins.store.complete import fault as fault_of
from tests.fake_hub import Hub, serving
from tests.forked import Server
from tests.small_disk import SmallDisk, limit_files, small_disk

from .conftest import DATA, Lab
from .finished_room import Result, Room, finished_room
from .ranks import CONFIGS, QUIET

WRITES: dict[str, list[str]] = {
    "data build": ["data", "build", "build.yml"],
    "data build alone": ["data", "build", "data.yml", "--workspace", "{out}/workspace"],
    "data convert": ["data", "convert", "{shards}", "{out}/converted", "--to", "datatrove"],
    "data convert back": ["data", "convert", "theirs", "{out}/back", "--from", "datatrove", "--tokenizer", "out-base"],
    "data fetch": ["data", "fetch", "{shards}", "{out}/fetched"],
    "data report": ["data", "report", "base.yml", "--out", "{out}/report"],
    "data verify": ["data", "verify", "{out}/corpus", "--write-sums"],
    "eval": ["eval", "out-base", "--suite", "mini", "--limit", "1", "--needle", "--lengths", "100", "--depths", "0",
             "--out", "{out}/scores"],
    "export": ["export", "out-base", "--to", "llama", "{out}/exported"],
    "export gguf": ["export", "out-base", "--to", "gguf", "{out}/gguf"],
    "checkpoint consolidate": ["checkpoint", "consolidate", "out-zero/checkpoint-2", "{out}/whole"],
    "checkpoint fetch": ["checkpoint", "fetch", "lab/small", "--out", "{out}/dynamics"],
    "checkpoint universal": ["checkpoint", "universal", "{out}/checkpoint-2"],
    "init": ["init", "{out}/mine"],
    "plugins new": ["plugins", "new", "{out}/kormo-mine"],
    "recipe schema": ["recipe", "schema", "--out", "{out}/schema.json"],
    "release": ["release", "out-base", "{out}/release"],
    "report": ["report", "out-base", "--out", "{out}/report.html"],
    "tokenizer report": ["tokenizer", "report", "out-base", "--text", "base.yml", "--page", "{out}/tokens.html"],
    "tokenizer train": ["tokenizer", "train", "tokenizer.yml", "--text", "text.txt", "--out", "{out}/tokenizer"],
    "reproduce": ["reproduce", "released", "--build", "--out", "{out}/again"],
    "ablate": ["ablate", "ablation.yml", "--out", "{out}/ablation"],
    "ladder": ["ladder", "ladder.yml", "--out", "{out}/ladder"],
    "run": ["run", "chain.yml"],
}  # fmt: skip
"""Command -> words; `{out}` is on the disk that becomes full."""
STARTS_RUNS = {"reproduce", "ablate", "ladder", "run"}
"""They train: each try costs a start-up, so that they get fewer sizes, and one second try."""
NOTHING_WRITTEN = {
    "chat", "checkpoint list", "data batch", "data peek", "data stats", "data publish", "publish", "plugins hooks",
    "plugins list", "plugins show", "recipe diff", "recipe keys", "recipe plan", "recipe show", "recipe validate",
    "recipe eval",
}  # fmt: skip
"""Commands that write no file of their own."""
TRAIN = "train"
"""It becomes Axolotl's process, and has a test of its own."""
SIZES = (0, 4_096, 16_384, 65_536, 262_144, 1_048_576)
"""Bytes that are free; the last are enough for some commands."""
RUN_SIZES = (0, 4_096, 131_072)
LIMITS = (0, 300, 3_000, 30_000, 300_000)
"""Bytes of the largest file."""
KEPT = (".leases", ".partial", ".lease", "answers", "/log.txt", "/evaluation.json", "fetched/",
        "/cells/", "/ablation.", "/ladder.", "/predictions.jsonl", "/chain.json", "/logs/", "/recipes/", "/runs/",
        "/artifacts/", "chain/base/")  # fmt: skip
"""In the names of what a command leaves on purpose: to go on from, and to tell what happened. What is for going on is
gone when the command has done its work."""
LITTER = (".tmp", ".partial", ".replaced", ".running", "tmp")


def test_every_command_is_in_a_table() -> None:
    def leaves(command: click.Command, name: str) -> Iterator[str]:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for one in command.list_commands(context):
                yield from leaves(command.get_command(context, one) or command, f"{name} {one}".strip())
        else:
            yield name

    assert set(NOUNS) <= {name.split()[0] for name in leaves(cli, "")}
    known = {" ".join(words[:2]) for words in WRITES.values()} | {words[0] for words in WRITES.values()}
    assert not set(leaves(cli, "")) - known - NOTHING_WRITTEN - {TRAIN}, "say here what a full disk does to it"


@dataclass
class Disks:
    """The room, a hub with its checkpoints, and what a command needs of both."""

    room: Room
    lab: Lab
    hub: Hub

    @property
    def shards(self) -> Path:
        return next(self.room.folder.glob("artifacts/shards-*"))

    def prepare(self, out: Path) -> None:
        """What some commands find on the disk."""
        shutil.copytree(next(self.room.folder.glob("artifacts/corpus-*")), out / "corpus")
        shutil.copytree(self.room.folder / "out-zero/checkpoint-2", out / "checkpoint-2")
        stages = [{"name": "base", "recipe": str(self.room.folder / "base.yml")}]
        chain = {"name": "one", "folder": str(out / "chain"), "stages": stages}
        (self.room.folder / "chain.yml").write_text(yaml.safe_dump(chain))
        self.lab.recipe("build", kormo={"workspace": str(out / "workspace")})
        (self.room.folder / "data.yml").write_text(yaml.safe_dump(DATA))

    def run(self, name: str, out: Path, before: Callable[[], None] = lambda: None) -> Result:
        words = [word.format(out=out, shards=self.shards) for word in WRITES[name]]

        def ready() -> None:
            from huggingface_hub import HfApi, constants

            constants.HF_HUB_OFFLINE = False
            HfApi.__init__.__kwdefaults__ = None  # type: ignore[attr-defined]
            HfApi.__init__.__defaults__ = (self.hub.url, *(HfApi.__init__.__defaults__ or (None,))[1:])
            before()

        return self.room.run(words, before=ready)


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory, forks: Server) -> Iterator[Disks]:
    before, folder = Path.cwd(), tmp_path_factory.mktemp("full")
    room = finished_room(folder, forks)
    lab = Lab(folder, forks)
    zero = lab.recipe("zero", kormo=QUIET, deepspeed=str(CONFIGS / "zero2.json"), max_steps=2, save_steps=2)
    (trained,) = lab.ranks(zero, count=1)
    assert trained.returncode == 0, trained.stderr[-3000:]
    (folder / "text.txt").write_text("서울은 대한민국의 수도이다. The city is large.\n" * 300, encoding="utf-8")
    (folder / "tokenizer.yml").write_text("name: kormo_bpe\nvocab_size: 300\nmegabytes: 0.1\nshares: {ko: 1.0}\n")
    asked = {"question": "?", "base": "base.yml"}
    ablation = {**asked, "seeds": [1], "variants": {"a": {}}, "measure": {"loss": {"metric": "loss"}}}
    sizes = {f"w{width}": {"architecture": {"hidden_size": width}} for width in (32, 48, 64, 96, 128)}
    (folder / "ablation.yml").write_text(yaml.safe_dump(ablation))
    (folder / "ladder.yml").write_text(yaml.safe_dump({**asked, "sizes": sizes, "metric": "loss"}, sort_keys=False))
    with serving() as hub:
        made = Disks(room, lab, hub)
        assert room.run(["data", "convert", str(made.shards), "theirs", "--to", "datatrove"]).code == 0
        files = {path.name: path.read_bytes() for path in (folder / "out-base").iterdir() if path.is_file()}
        kept = {name: data for name, data in files.items() if name.endswith((".json", ".safetensors"))}
        hub.repositories["lab/small"] = {"main": {}, "step-1-tokens-1K": kept, "step-2-tokens-2K": kept}
        yield made
    os.chdir(before)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def fault(result: Result, before: list[str], after: list[str], where: Path | None) -> str:
    """What is wrong with how a command ended that could not write; empty where nothing is.

    Args:
        where: must be named; None where the system does not say it: a limit is of the process, no disk is full.
    """
    if result.trace:
        return result.trace[-1500:]
    told = result.stderr[max(0, result.stderr.find("kormo: ")) :]  # before it stands what libraries say of themselves
    if result.code != 2 or told.count("\n  found:  ") != 1 or "Traceback" in told:
        return f"status {result.code}: {told[-1500:]}"
    if not any(word in told for word in ("no space left", "free on the disk of", "File too large")):
        return f"the disk is not named: {told[-600:]}"
    if where is not None and str(where) not in told:
        return f"the path is not named: {told[-600:]}"
    new = [path for path in after if path not in before]
    left = [path for path in new if not any(part in path for part in KEPT)]
    left += [path for path in new if path.endswith((".tmp", ".running", ".probe")) and ".partial/" not in path]
    return f"left behind: {left[:10]}" if left else ""


def unfinished(result: Result, out: Path) -> str:
    """What is wrong with the same command, given again with space enough."""
    if result.code or result.trace:
        return f"not with space either: {result.code} {result.trace[-800:]} {result.stderr[-800:]}"
    left = [name for name in files(out) if any(part.endswith(LITTER) for part in name.split("/"))]
    return f"left after the second try: {left}" if left else ""


@pytest.mark.soak
@pytest.mark.parametrize("name", WRITES)
def test_a_limit_is_named(name: str, disks: Disks, tmp_path: Path) -> None:
    faults, failed = [], 0
    for size in LIMITS[:2] if name in STARTS_RUNS else LIMITS:
        out = tmp_path / str(size)
        out.mkdir()
        disks.prepare(out)
        before = files(out)
        result = disks.run(name, out, partial(limit_files, size))
        failed += bool(result.code)
        if result.code and (told := fault(result, before, files(out), None)):
            faults.append(f"{size}: {told}")
    assert failed, "no size was too small: nothing was tried"
    assert not faults, "\n".join(faults)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:Not enough free disk space")  # the hub's client says so too, and goes on
@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk_is_named_and_the_command_goes_on(name: str, disks: Disks, tmp_path: Path) -> None:
    faults, failed = [], 0
    sizes = RUN_SIZES if name in STARTS_RUNS else SIZES
    for size in sizes:
        try:
            with small_disk(tmp_path / str(size)) as disk:
                again = name not in STARTS_RUNS or size == sizes[-1]
                code, told = filled(name, disks, disk, size, again)
        except PermissionError as error:
            pytest.skip(f"{error}: only the limit of a file's size was tried")
        failed += bool(code)
        faults += [f"{size} free: {told}"] if told else []
    assert failed, "no disk was too small: nothing was tried"
    assert not faults, "\n".join(faults)


def filled(name: str, disks: Disks, disk: SmallDisk, free: int, again: bool) -> tuple[int, str]:
    """Runs a command on a small disk, then on a large one; its first status, and what was wrong."""
    out = disk.folder
    disks.prepare(out)
    before = files(out)
    disk.leave(free)
    result = disks.run(name, out)
    if result.code and (told := fault(result, before, files(out), out)):
        return result.code, told
    disk.grow()
    if result.code and not again:
        return result.code, ""
    if name == "reproduce":  # its message says so: it builds where nothing is
        shutil.rmtree(out / "again", ignore_errors=True)
    second = disks.run(name, out) if result.code else result
    return result.code, unfinished(second, out)


FILLS = """
import os
from pathlib import Path

from transformers import TrainerCallback

from kormo_plugins import Component, hookimpl


class Fills(TrainerCallback):
    def open(self, run):
        self.folder = run.output_dir

    def on_step_begin(self, args, state, control, **kwargs):
        step, left = map(int, os.environ.get("FILLS", "-1 0").split())
        if state.global_step == step:
            stat = os.statvfs(self.folder)
            with open(Path(self.folder).parent / "filler", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, stat.f_bavail * stat.f_frsize - left)


@hookimpl
def kormo_run_callbacks():
    yield Component("fills", load=lambda params: Fills(), summary="somebody else fills the disk")
"""
"""A plugin: when a step begins, another program leaves so many bytes free."""
FULL_WHEN = ((0, 0), (3, 4_096), (3, 300_000), (7, 0), (7, 900_000))
"""Steps done, and the bytes left then: too little for a line of metrics, for a checkpoint, for the model at the end."""


@pytest.mark.soak
@pytest.mark.parametrize(("step", "left"), FULL_WHEN)
def test_a_training_names_it_and_goes_on(disks: Disks, tmp_path: Path, step: int, left: int) -> None:
    (disks.lab.folder / "fills.py").write_text(FILLS)
    try:
        with small_disk(tmp_path / "disk") as disk:
            out = disk.folder / "out"
            kormo = {"plugins": ["fills"], "callbacks": [{"name": "fills"}]}
            recipe = disks.lab.recipe(f"full-{step}-{left}", output_dir=str(out), kormo=kormo)
            disk.leave(64 << 20)
            run = disks.lab.axolotl("train", str(recipe), "--launcher", "python", FILLS=f"{step} {left}")
            told = run.stderr
            assert run.returncode == 2 and "Traceback" not in told, told[-3000:]
            assert told.count("\n  found:  ") == 1 and "no space left" in told and str(out) in told, told[-3000:]
            (disk.folder / "filler").unlink()
            again = disks.lab.axolotl("train", str(recipe), "--launcher", "python")
            assert again.returncode == 0 and fault_of(out) is None, again.stderr[-3000:]
            assert not [path for path in files(disk.folder) if path.endswith(LITTER)]
    except PermissionError as error:
        pytest.skip(str(error))


@pytest.mark.soak
def test_a_training_that_cannot_fit_is_refused_before_it_begins(disks: Disks, tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk") as disk:
            recipe = disks.lab.recipe("unfit", output_dir=str(disk.folder / "out"))
            disk.leave(4_096)
            run = disks.lab.axolotl("train", str(recipe), "--launcher", "python")
            assert run.returncode == 2 and "free on the disk of" in run.stderr and not files(disk.folder), run.stderr
    except PermissionError as error:
        pytest.skip(str(error))
