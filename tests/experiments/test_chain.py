"""Chains: what is skipped, resumed, trained anew and set aside, and what is refused before anything runs.

The stages are stand-ins that write in a second what a training leaves behind; real ones are in `tests/integration`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from kormo_plugins.errors import KormoError
from kormo_plugins.experiments.chain import runner
from kormo_plugins.experiments.chain.record import Record
from kormo_plugins.experiments.chain.spec import Chain, Stage, load_chain
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.runs.identity import stage_identity
from kormo_plugins.store.lease import Lease

from ..integration.conftest import RECIPE, merged

FAKE = str(Path(__file__).parent / "fake_stage.py")


def fake(chain: Chain, stage: Stage, recipe: Path) -> Sequence[str]:
    who = stage_identity(load_recipe(recipe).identity_plan())  # from the resolved file, as a training would
    return [sys.executable, FAKE, str(recipe), str(stage.out), json.dumps(who)]


@dataclass
class Room:
    """A folder with a chain of three stages: one → two → three."""

    folder: Path
    path: Path

    def run(self, **options: Any) -> Record:
        return runner.run_chain(load_chain(self.path), fake, log=lambda line: None, **options)

    def calls(self) -> list[str]:
        """The stages that were started since the last call, in order."""
        file = self.folder / "out" / "calls.txt"
        names = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return names

    def todo(self, stage: str, *words: str) -> None:
        file = self.folder / "chain" / "recipes" / f"{stage}.todo"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(words))

    def change(self, stage: str, **values: Any) -> None:
        file = self.folder / f"{stage}.yml"
        file.write_text(yaml.safe_dump(merged(yaml.safe_load(file.read_text()), values)))

    def out(self, stage: str) -> Path:
        return self.folder / "out" / stage


def statuses(record: Record) -> list[str]:
    return [entry.status for entry in record.entries.values()]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    kormo = {"workspace": str(tmp_path / "artifacts")}
    before: str | None = None
    for name in ("one", "two", "three"):
        own = {**kormo, **({"from_run": before, "tokenizer": None} if before else {})}
        values = merged(RECIPE, {"output_dir": str(tmp_path / "out" / name), "kormo": own})
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(values))
        before = str(tmp_path / "out" / name)
    path = tmp_path / "chain.yml"
    stages = [{"name": name, "recipe": f"{name}.yml"} for name in ("one", "two", "three")]
    path.write_text(yaml.safe_dump({"name": "abc", "folder": str(tmp_path / "chain"), "stages": stages}))
    return Room(tmp_path, path)


def test_all_stages_in_order_then_none_again(room: Room) -> None:
    record = room.run()
    assert statuses(record) == ["trained"] * 3 and room.calls() == ["one", "two", "three"]
    told = json.loads((room.folder / "chain" / "chain.json").read_text())
    assert [stage["steps"] for stage in told["stages"]] == [8, 8, 8] and told["stages"][0]["loss_at_start"] == 9.0
    assert told["stages"][1]["before"] == "one" and all(stage["weights"] for stage in told["stages"])
    again = room.run()
    assert statuses(again) == ["skipped"] * 3 and room.calls() == []
    assert again.entry("two").seconds == record.entry("two").seconds > 0  # how long it took is still known


def test_a_changed_stage_and_those_after_it_are_trained_anew_and_nothing_is_lost(room: Room) -> None:
    room.run()
    old = (room.out("two") / "model.safetensors").read_text()
    room.calls()
    room.change("two", learning_rate=0.02)
    planned = runner.plan(load_chain(room.path))
    assert statuses(planned) == ["skipped", "would train again", "would follow"]
    assert "learning_rate: 0.01 → 0.02" in planned.entry("two").why
    record = room.run()
    assert statuses(record) == ["skipped", "trained", "trained"] and room.calls() == ["two", "three"]
    assert (room.out("two.before-1") / "model.safetensors").read_text() == old
    assert record.entry("two").aside == str(room.out("two.before-1"))
    assert "starts from changed" in record.entry("three").why


def test_a_stage_that_comes_out_the_same_leaves_those_after_it_alone(room: Room) -> None:
    room.run()
    room.calls()
    (room.out("two") / "run.json").unlink()  # its origin is not known any more, so it is trained anew
    assert statuses(room.run()) == ["skipped", "trained", "skipped"] and room.calls() == ["two"]


@pytest.mark.parametrize(
    "change",
    [
        {"logging_steps": 3}, {"save_steps": 2}, {"micro_batch_size": 2}, {"kormo": {"samples": {"max_new_tokens": 9}}},
        {"dataloader_num_workers": 1}, {"gradient_checkpointing": True},
    ],
    ids=str,
)  # fmt: skip
def test_what_makes_no_other_model_trains_nothing(room: Room, change: dict[str, Any]) -> None:
    room.run(only="one")
    room.calls()
    room.change("one", **change)
    assert statuses(room.run(only="one"))[0] == "skipped" and room.calls() == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 8}, "seed: 7 → 8"),
        ({"max_steps": 9}, "max_steps: 8 → 9"),
        ({"kormo": {"data": {"sources": {"korean": {"generator": {"seed": 5}}}}}}, "korean.generator.seed: 1 → 5"),
        ({"kormo": {"collator": {"name": "causal"}}}, "collator.name"),
    ],
    ids=str,
)
def test_what_makes_another_model_is_named(room: Room, change: dict[str, Any], told: str) -> None:
    room.run(only="one")
    room.change("one", **change)
    record = room.run(only="one")
    assert statuses(record)[0] == "trained" and told in record.entry("one").why


def test_documents_that_changed_on_disk_are_noticed(room: Room) -> None:
    text = room.folder / "text.jsonl"
    text.write_text('{"text": "어제는 비가 왔다."}\n')
    source = {"generator": None, "language": "ko", "reader": {"name": "jsonl", "path": str(text)}}
    room.change("one", kormo={"data": {"sources": {"korean": source}}})
    room.run(only="one")
    room.calls()
    assert statuses(room.run(only="one"))[0] == "skipped"
    text.write_text('{"text": "어제는 눈이 왔다."}\n')
    record = room.run(only="one")
    assert statuses(record)[0] == "trained" and record.entry("one").why == "documents changed (korean)"


def test_killed_in_the_middle_it_goes_on_and_trains_nothing_twice(room: Room) -> None:
    room.todo("two", "die")
    record = room.run()
    assert statuses(record) == ["trained", "failed", "not run"] and room.calls() == ["one", "two"]
    assert "SIGKILL" in record.entry("two").why and runner.exit_status(record) == 1
    planned = runner.plan(load_chain(room.path))
    assert statuses(planned)[:2] == ["skipped", "would resume"] and "checkpoint-4" in planned.entry("two").why
    assert statuses(room.run()) == ["skipped", "trained", "trained"] and room.calls() == ["two", "three"]
    assert not list(room.out("two").parent.glob("*.before-*"))  # resumed, not begun anew


@pytest.mark.parametrize("word", ["preempted", "hidden"])
def test_a_preempted_stage_is_started_again_a_bounded_number_of_times(room: Room, word: str) -> None:
    room.todo("one", word, word)
    record = room.run(only="one")
    assert statuses(record)[0] == "trained" and record.entry("one").attempts == 3
    assert room.calls() == ["one"] * 3
    room.change("one", seed=9)
    room.todo("one", *[word] * 9)
    record = room.run(only="one")
    assert statuses(record)[0] == "preempted" and runner.exit_status(record) == 75
    assert room.calls() == ["one"] * 4  # restarts: 3


def test_a_failed_stage_stops_the_chain_with_its_status_and_its_log(room: Room) -> None:
    room.todo("two", "refuse")
    record = room.run()
    assert statuses(record) == ["trained", "failed", "not run"] and runner.exit_status(record) == 2
    log = record.entry("two").log
    assert log and "not what was wanted" in runner.last_lines(Path(log))[-1]


def test_success_without_a_model_is_a_failure(room: Room) -> None:
    room.todo("one", "nothing")
    record = room.run(only="one")
    assert statuses(record)[0] == "failed" and "stopped before it finished" in record.entry("one").why


def test_from_and_only(room: Room) -> None:
    with pytest.raises(KormoError, match="no finished model of one"):
        room.run(first="two")
    room.run(only="one")
    room.calls()
    room.change("one", learning_rate=0.5)  # not looked at: the model is taken as it is
    assert statuses(room.run(first="two")) == ["not run", "trained", "trained"] and room.calls() == ["two", "three"]
    with pytest.raises(KormoError, match="Did you mean 'three'"):
        room.run(only="tree")


def test_two_runs_of_one_chain_do_not_fight(room: Room) -> None:
    lease = Lease(room.folder / "chain" / ".chain.lease")
    assert lease.acquire()
    with lease.held(), pytest.raises(KormoError, match="is at work on the chain abc"):
        room.run()
    assert room.calls() == []
    elsewhere = Lease(room.folder / "out" / ".one.lease")  # another chain that writes the same folder
    assert elsewhere.acquire()
    with elsewhere.held(), pytest.raises(KormoError, match="is at work on"):
        room.run()
    assert statuses(room.run()) == ["trained"] * 3


def test_a_signal_reaches_the_stage_and_the_same_command_goes_on(room: Room) -> None:
    room.todo("two", "wait")

    def interrupt() -> None:
        while not (room.out("two") / "waiting").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    record = room.run()
    assert statuses(record) == ["trained", "preempted", "not run"] and runner.exit_status(record) == 75
    assert record.entry("two").attempts == 1  # asked to stop, so not started again
    assert statuses(room.run()) == ["skipped", "trained", "trained"]


def test_the_chain_sets_values_and_names_where_a_stage_starts(room: Room) -> None:
    stages = [
        {"name": "one", "recipe": "one.yml", "set": {"kormo.global_batch": 16}},
        {"name": "other", "recipe": "three.yml", "from": "one", "set": {"max_steps": 4}},
    ]
    values = {"name": "abc", "folder": str(room.folder / "chain"), "set": {"seed": 3}, "stages": stages}
    room.path.write_text(yaml.safe_dump(values))
    chain = load_chain(room.path)
    assert [stage.before for stage in chain.stages] == [None, "one"]
    assert [stage.recipe.seed for stage in chain.stages] == [3, 3]
    assert chain.stages[0].recipe.block.global_batch == 16 and chain.stages[1].recipe.steps == 4
    assert statuses(room.run()) == ["trained", "trained"]
    resolved = yaml.safe_load((room.folder / "chain" / "recipes" / "other.yml").read_text())
    assert resolved["kormo"]["from_run"] == str(room.out("one")) and resolved["seed"] == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"stage": []}, "stage"),
        ({"stages": []}, "stages"),
        ({"launcher": "mpirun"}, "launcher"),
        ({"nproc_per_node": 2}, "the launcher python starts a single process"),
        ({"nproc_per_node": 3, "launcher": "torchrun"}, "not a multiple"),
        ({"stages": [{"name": "a", "recipe": "one.yml"}, {"name": "a", "recipe": "two.yml"}]}, "the name 'a' twice"),
        ({"stages": [{"name": "a", "recipe": "one.yml"}, {"name": "b", "recipe": "one.yml"}]}, "the output_dir"),
        ({"stages": [{"name": "b", "recipe": "two.yml"}, {"name": "a", "recipe": "one.yml"}]}, "comes later"),
        ({"stages": [{"name": "b", "recipe": "two.yml"}]}, "no such folder"),
        ({"stages": [{"name": "a", "recipe": "on.yml"}]}, "Did you mean"),
        ({"stages": [{"name": "../a", "recipe": "one.yml"}]}, "name"),
        ({"stages": [{"name": "a", "recipe": "one.yml", "set": {"lerning_rate": 1}}]}, "learning_rate"),
        ({"stages": [{"name": "a", "recipe": "one.yml", "from": "b"}]}, "no stage before"),
        (
            {"stages": [{"name": "a", "recipe": "one.yml"},
                        {"name": "b", "recipe": "two.yml", "set": {"kormo.architecture.num_hidden_layers": 3}}]},
            "num_hidden_layers 3",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_fault_anywhere_is_told_before_anything_runs(room: Room, change: dict[str, Any], told: str) -> None:
    room.path.write_text(yaml.safe_dump({**yaml.safe_load(room.path.read_text()), **change}))
    with pytest.raises(KormoError) as error:
        room.run()
    assert told in error.value.render()
    assert room.calls() == [] and not (room.folder / "out").exists()


def test_the_command(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    from kormo_plugins.cli import run as command
    from kormo_plugins.cli.main import cli

    monkeypatch.setattr(command, "command", fake)
    told = CliRunner().invoke(cli, ["run", str(room.path), "--dry-run", "--json"])
    assert told.exit_code == 0 and room.calls() == []
    assert [stage["status"] for stage in json.loads(told.stdout)["stages"]] == ["would train"] * 3
    done = CliRunner().invoke(cli, ["run", str(room.path)])
    assert done.exit_code == 0 and "two" in done.stdout and "9.00 → 1.30" in done.stdout
    room.todo("three", "refuse")
    room.change("three", seed=1)
    failed = CliRunner().invoke(cli, ["run", str(room.path), "--json"])
    assert failed.exit_code == 2 and json.loads(failed.stdout)["stages"][2]["status"] == "failed"
    assert "not what was wanted" in failed.stderr and "Traceback" not in failed.stderr
    wrong = CliRunner().invoke(cli, ["recipe", "validate", str(room.path)])
    assert wrong.exit_code == 2 and "kormo run" in wrong.stderr
    missing = CliRunner().invoke(cli, ["run", str(room.folder / "chains.yml")])
    assert missing.exit_code == 2 and "Did you mean" in missing.stderr


def test_the_command_of_a_stage(room: Room) -> None:
    from kormo_plugins.cli.run import command

    values = yaml.safe_load(room.path.read_text())
    room.path.write_text(yaml.safe_dump({**values, "launcher": "torchrun", "nproc_per_node": 2}))
    chain = load_chain(room.path)
    words = command(chain, chain.stages[0], Path("recipe.yml"))
    assert Path(words[0]).name == "axolotl"
    assert list(words[1:]) == ["train", "recipe.yml", "--launcher", "torchrun", "--", "--nproc_per_node=2"]


def test_a_chain_that_is_killed_is_taken_over(room: Room) -> None:
    """The command dies, its stage is asked to stop, and the next command takes over the stale leases and goes on."""
    room.todo("two", "wait")
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from tests.experiments.test_chain import runner, fake, load_chain\n"
        "runner.run_chain(load_chain(Path(sys.argv[1])), fake, log=print)\n"
    )
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen([sys.executable, "-c", script, str(room.path), root], start_new_session=True)
    while not (room.out("two") / "waiting").exists():
        time.sleep(0.05)
        assert process.poll() is None
    process.kill()
    process.wait()
    room.calls()
    assert statuses(room.run()) == ["skipped", "trained", "trained"] and room.calls() == ["two", "three"]


LAUNCHER = """
import os, subprocess, sys, time
if len(sys.argv) > 1:  # a rank, with a worker of its own
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open(sys.argv[1], "w").write(str(os.getpid()))
    time.sleep(60)
for rank in "01":
    subprocess.Popen([sys.executable, __file__, f"rank{rank}"], env={**os.environ, "LOCAL_RANK": rank},
                     start_new_session=True)
time.sleep(60)
"""


def test_the_ranks_are_told_and_not_their_launcher(tmp_path: Path) -> None:
    from kormo_plugins.experiments.launch.processes import ranks, tell

    (tmp_path / "launcher.py").write_text(LAUNCHER)
    launcher = subprocess.Popen([sys.executable, str(tmp_path / "launcher.py")], cwd=tmp_path)
    files = [tmp_path / "rank0", tmp_path / "rank1"]
    while not all(file.exists() and file.read_text() for file in files):
        time.sleep(0.02)
    told = ranks(launcher.pid)
    assert told == sorted(int(file.read_text()) for file in files)
    assert ranks(told[0]) == [told[0]]
    for rank in told:
        os.killpg(rank, signal.SIGKILL)  # with its worker
    tell([launcher.pid, launcher.pid], signal.SIGKILL)
    launcher.wait()
