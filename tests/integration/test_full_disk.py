"""A disk that becomes full under every command that writes: named, without a traceback, and without litter.

Two kinds of full disk: a file system of a few blocks (real, where this user may mount one), and a limit of a file's
size, which every system has. Of each command several sizes are tried, so that it fails early, late, and not at all.
Training itself is tried in `tests/training/test_checkpoint.py`.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
import pytest
import yaml

from kormo_plugins.cli.main import NOUNS, cli
from tests.forked import Server

from .finished_room import Result, Room, finished_room

WRITES: dict[str, list[str]] = {
    "data build": ["data", "build", "base.yml", "--workspace", "{out}/workspace"],
    "data convert": ["data", "convert", "{shards}", "{out}/converted", "--to", "datatrove"],
    "data fetch": ["data", "fetch", "{shards}", "{out}/fetched"],
    "data report": ["data", "report", "base.yml", "--out", "{out}/report"],
    "data verify": ["data", "verify", "{out}/corpus", "--write-sums"],
    "eval": ["eval", "out-base", "--suite", "mini", "--limit", "1", "--needle", "--lengths", "100", "--depths", "0",
             "--out", "{out}/scores"],
    "export": ["export", "out-base", "--to", "llama", "{out}/exported"],
    "export gguf": ["export", "out-base", "--to", "gguf", "{out}/gguf"],
    "checkpoint consolidate": ["checkpoint", "consolidate", "out-base/checkpoint-8", "{out}/whole"],
    "init": ["init", "{out}/mine"],
    "plugins new": ["plugins", "new", "{out}/kormo-mine"],
    "recipe schema": ["recipe", "schema", "--out", "{out}/schema.json"],
    "release": ["release", "out-base", "{out}/release"],
    "report": ["report", "out-base", "--out", "{out}/report.html"],
    "tokenizer report": ["tokenizer", "report", "out-base", "--text", "base.yml", "--page", "{out}/tokens.html"],
    "tokenizer train": ["tokenizer", "train", "base.yml", "--text", "text.txt", "--out", "{out}/tokenizer"],
    "reproduce": ["reproduce", "released", "--build", "--out", "{out}/again"],
    "ablate": ["ablate", "ablation.yml", "--out", "{out}/ablation"],
    "ladder": ["ladder", "ladder.yml", "--out", "{out}/ladder"],
    "run": ["run", "{out}/chain.yml"],
}  # fmt: skip
"""Command -> words; `{out}` is on the disk that becomes full."""
STARTS_RUNS = {"reproduce", "ablate", "ladder", "run"}
"""They start a training, whose own end is told in a log: they are tried with so little space that none begins."""
NOTHING_WRITTEN = {
    "chat", "checkpoint list", "data batch", "data peek", "data stats", "data publish", "publish", "plugins hooks",
    "plugins list", "plugins show", "recipe diff", "recipe keys", "recipe plan", "recipe show", "recipe validate",
    "recipe eval", "train",
}  # fmt: skip
"""Commands that write no file of their own; `train` is Axolotl's, and tried with its checkpoints."""
ELSEWHERE = {"checkpoint universal", "checkpoint fetch"}
"""They need DeepSpeed's checkpoint or a hub: `tests/training/test_sharded.py`, `tests/runs/test_publish.py`."""
SIZES = (0, 300, 3_000, 30_000, 300_000)
"""Bytes of the largest file; a disk has ten times as many."""
KEPT = (".leases", ".partial", ".lease", "answers", "work", "fetched/", "evaluation.json")
"""In the names of what a command leaves on purpose, to go on from."""


def test_every_command_is_in_a_table() -> None:
    def leaves(command: click.Command, name: str) -> Iterator[str]:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for one in command.list_commands(context):
                yield from leaves(command.get_command(context, one) or command, f"{name} {one}".strip())
        else:
            yield name

    assert set(NOUNS) <= {name.split()[0] for name in leaves(cli, "")}
    known = {name.replace(" gguf", "") for name in WRITES} | NOTHING_WRITTEN | ELSEWHERE
    assert not set(leaves(cli, "")) - known, "say here what a full disk does to it"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, forks: Server) -> Iterator[Room]:
    before = Path.cwd()
    yield finished_room(tmp_path_factory.mktemp("full"), forks)
    os.chdir(before)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def prepare(out: Path, room: Path) -> None:
    """What some commands find on the disk, or beside it."""
    corpus = next(room.glob("artifacts/corpus-*"))
    subprocess.run(["cp", "-r", str(corpus), str(out / "corpus")], check=False, capture_output=True)
    (room / "text.txt").write_text("서울은 대한민국의 수도이다. The city is large.\n" * 300, encoding="utf-8")
    chain = {
        "name": "one",
        "folder": str(out / "chain"),
        "stages": [{"name": "base", "recipe": str(room / "base.yml")}],
    }
    (out / "chain.yml").write_text(yaml.safe_dump(chain))
    asked = {"question": "?", "base": "base.yml"}
    loss = {"loss": {"metric": "loss"}}
    (room / "ablation.yml").write_text(yaml.safe_dump({**asked, "seeds": [1], "variants": {"a": {}}, "measure": loss}))
    sizes = {f"w{width}": {"architecture": {"hidden_size": width}} for width in (32, 48, 64, 96)}
    (room / "ladder.yml").write_text(yaml.safe_dump({**asked, "sizes": sizes, "metric": "held_out/loss"}))


def limited(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def fault(name: str, result: Result, before: list[str], after: list[str]) -> str:
    """What is wrong with how a command ended; empty where nothing is."""
    if result.trace:
        return result.trace
    if result.code == 0:
        return ""
    if result.code != 2 or "\n  found:  " not in result.stderr or "Traceback" in result.stderr:
        return f"status {result.code}: {result.stderr[-600:]}"
    if not any(word in result.stderr for word in ("no space left", "File too large")):
        return f"the disk is not named: {result.stderr[-600:]}"
    left = [path for path in after if path not in before and not any(part in path for part in KEPT)]
    return f"left behind: {left[:10]}" if left else ""


@pytest.mark.soak
@pytest.mark.parametrize("name", WRITES)
def test_a_limit_is_named(name: str, room: Room, tmp_path: Path) -> None:
    faults = []
    for size in SIZES[:2] if name in STARTS_RUNS else SIZES:
        out = tmp_path / str(size)
        out.mkdir()
        faults += [f"{size}: {told}" for told in [tried(name, room, out, size)] if told]
    assert not faults, "\n".join(faults)


@pytest.mark.soak
@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk_is_named(name: str, room: Room, tmp_path: Path) -> None:
    faults = []
    for size in SIZES[:2] if name in STARTS_RUNS else SIZES:
        out = tmp_path / str(size)
        out.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={max(4096, 10 * size)}", "kormo-test", str(out)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount a file system")
        try:
            faults += [f"{size}: {told}" for told in [tried(name, room, out, None)] if told]
        finally:
            subprocess.run(["umount", "-l", str(out)], check=True)
    assert not faults, "\n".join(faults)


def tried(name: str, room: Room, out: Path, size: int | None) -> str:
    """Runs a command, with a limit or on a small disk."""
    try:
        prepare(out, room.folder)
    except OSError:
        return ""  # not even what it reads fits
    shards = next(room.folder.glob("artifacts/shards-*"))
    words = [word.format(out=out, shards=shards) for word in WRITES[name]]
    before = files(out)
    result = room.run(words, before=(lambda: None) if size is None else partial(limited, size))
    return fault(name, result, before, files(out))
