"""A signal ends the run with a whole checkpoint, and the run goes on as if nothing had been."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from kormo_plugins.store.complete import fault
from kormo_plugins.training.checkpoints.complete import checkpoints
from kormo_plugins.training.guards import preemption_file
from tests.forked import Server

from .harness import Signal, ranks, run, trainer


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_signal_then_the_same_command_is_bit_equal(tmp_path: Path, name: str) -> None:
    whole = trainer(4, 2, steps=5, out=str(tmp_path / "whole"))
    whole.train()
    out = tmp_path / "stopped"
    first = trainer(4, 2, steps=5, out=str(out))
    first.add_callback(Signal(2, name, 0))
    with pytest.raises(SystemExit) as left:
        first.train()
    assert left.value.code == preemption_file.EXIT_PREEMPTED == 75
    assert first.state.global_step == 2, "it went on after the step in which the signal came"
    record = preemption_file.read(out)
    assert record is not None and (record["step"], record["signal"]) == (2, name)
    folder = out / record["checkpoint"]
    assert fault(folder) is None
    again = trainer(4, 2, steps=5, out=str(out))
    again.train(resume_from_checkpoint=str(folder))
    assert again.state.global_step == 5
    for (key, one), (_, other) in zip(whole.model.named_parameters(), again.model.named_parameters(), strict=True):
        assert torch.equal(one, other), key


def test_a_trainer_that_is_not_ours_keeps_the_same_promises(tmp_path: Path) -> None:
    from kormo_plugins.training.guards.callback import RunCallback

    settings = trainer(4, 2).kormo

    def guest(**arguments: object) -> object:
        made = trainer(
            4, 2, steps=6, ours=False, out=str(tmp_path), save_strategy="steps", save_steps=2, save_total_limit=1,
            **arguments,
        )  # fmt: skip
        made.add_callback(RunCallback(dataclasses.replace(settings, output_dir=tmp_path), pytest.fail))
        return made

    first = guest()
    first.add_callback(Signal(3, "SIGTERM", 0))
    with pytest.raises(SystemExit) as left:
        first.train()
    assert left.value.code == 75 and preemption_file.read(tmp_path)["step"] == 3
    assert [folder.name for folder in checkpoints(tmp_path)] == ["checkpoint-3"], "the limit is obeyed after marking"
    assert fault(tmp_path / "checkpoint-3") is None
    again = guest()
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert again.state.global_step == 6 and fault(tmp_path / "checkpoint-6") is None


def test_signals_are_given_back_after_training(tmp_path: Path) -> None:
    made = trainer(4, 2, steps=1, out=str(tmp_path))
    made.train()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_a_signal_in_the_last_step_changes_nothing(tmp_path: Path) -> None:
    """The run is finished then; to be started again would train nothing."""
    result = run({"micro": 4, "accumulation": 2, "steps": 2, "out": str(tmp_path), "signal": [2, "SIGUSR1", 0]})
    assert result["status"] == 0 and preemption_file.read(tmp_path) is None


SECOND = """
import os, signal, time
from kormo_plugins.training.guards import preemption
from kormo_plugins.training.compat.side_channel import ControlChannel
preemption.SECOND_AFTER = 0.3
watch = preemption.Preemption(ControlChannel())
watch.start()
os.kill(os.getpid(), signal.SIGINT)
os.kill(os.getpid(), signal.SIGINT)  # the launcher's copy of the same Ctrl-C
print("alive", flush=True)
time.sleep(0.4)
os.kill(os.getpid(), signal.SIGINT)
print("never", flush=True)
"""


def test_a_second_interrupt_ends_at_once(tmp_path: Path, forks: Server) -> None:
    done = forks.start(SECOND, ["-c"], tmp_path, forks.environment).completed(120)
    assert done.stdout == "alive\n" and done.returncode == -signal.SIGINT, done.stderr[-2000:]


def test_one_signalled_rank_of_two_stops_both_after_the_same_step(tmp_path: Path, forks: Server) -> None:
    out = tmp_path / "out"
    spec = {"micro": 2, "accumulation": 2, "steps": 4, "out": str(out)}
    whole = run({"micro": 4, "accumulation": 2, "steps": 4, "out": str(tmp_path / "whole")})
    stopped = ranks(2, {**spec, "signal": [2, "SIGUSR1", 1]}, tmp_path, forks)
    assert [rank["status"] for rank in stopped] == [75, 75]
    assert [rank["step"] for rank in stopped] == [2, 2]
    assert json.loads((out / preemption_file.FILE).read_text())["signal"] == "SIGUSR1"
    assert [folder.name for folder in checkpoints(out)] == ["checkpoint-2"] and fault(out / "checkpoint-2") is None
    listed = json.loads((out / "checkpoint-2" / "complete.json").read_text())["files"]
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= set(listed), "the marker covers the files of all ranks"
    # Rank 1 looked into the folder before rank 0 had set a broken checkpoint aside: rank 0's word counts.
    again = ranks(2, {**spec, "resume": [str(out / "checkpoint-2"), str(out / "checkpoint-3")]}, tmp_path, forks)
    assert again[0]["loss"] == pytest.approx(whole["loss"], rel=1e-6)
    assert again[0]["status"] == 0


SLURM = Path(__file__).parents[2] / "recipes/slurm/train.sbatch"

FAKES = {
    "kormo": 'echo "{\\"values\\": {\\"output_dir\\": \\"$OUT\\"}}"',
    "scontrol": 'if [[ $1 == show ]]; then echo node0; else echo "$@" >> "$OUT/scontrol.log"; fi',
    "srun": 'shift; exec "$@"',
    # A launcher with one rank, which maps every status of it to 1. (A shell cannot trap what it was started ignoring.)
    "axolotl": 'echo "$@" > "$OUT/command"; python "$OUT/rank.py" & wait $! || exit 1',
}

RANK = """
import os, pathlib, signal, sys, time
out = pathlib.Path(os.environ["OUT"])
def receive(*_):
    (out / "preempted.json").write_text("{}")
    sys.exit(75)
signal.signal(signal.SIGUSR1, receive)
(out / "started").touch()
time.sleep(20)
"""


@pytest.mark.parametrize(("sent", "status", "requeued"), [("USR1", 0, True), ("", 3, False), ("", 0, False)])
def test_the_slurm_script_requeues_what_was_preempted_and_nothing_else(
    tmp_path: Path, sent: str, status: int, requeued: bool
) -> None:
    assert subprocess.run(["bash", "-n", str(SLURM)]).returncode == 0
    for name, body in FAKES.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "rank.py").write_text(RANK)
    if not sent:
        (tmp_path / "axolotl").write_text(f'#!/usr/bin/env bash\necho "$@" > "$OUT/command"\nexit {status}\n')
    (tmp_path / preemption_file.FILE).write_text("left by an earlier job")
    environment = {
        **os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "OUT": str(tmp_path),
        "SLURM_JOB_NODELIST": "node[0-1]", "SLURM_JOB_ID": "17", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "4",
    }  # fmt: skip
    job = subprocess.Popen(
        ["bash", str(SLURM), "my.yml"], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    if sent:
        deadline = time.monotonic() + 20
        while not (tmp_path / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)
        step = subprocess.run(["pgrep", "-f", "-s", str(job.pid), "train_here"], capture_output=True, text=True)
        os.kill(int(step.stdout.split()[0]), signal.SIGUSR1)  # as Slurm does: the step's first process only
    job.wait(timeout=30)
    log = tmp_path / "scontrol.log"
    assert log.exists() == requeued and (not requeued or log.read_text() == "requeue 17\n")
    assert job.returncode == (0 if requeued else status)
    command = (tmp_path / "command").read_text()
    assert "--nnodes=2 --nproc_per_node=4" in command and "--rdzv_endpoint=node0:10017" in command
