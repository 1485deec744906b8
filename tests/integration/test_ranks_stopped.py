"""Several ranks, one of them killed, asked to stop, requeued or out of disk: the run ends as if nothing had been."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import textwrap
from typing import Any

import pytest

from kormo_plugins.store.complete import fault
from kormo_plugins.training.checkpoints.complete import checkpoints

from .conftest import Lab
from .ranks import (
    CONFIGS,
    STEPS,
    check_rows,
    finish,
    losses,
    ranks_of,
    recipe,
    same_model,
    steps,
    torchrun,
    trained_alone,
    until,
)

pytestmark = pytest.mark.axolotl


@pytest.mark.parametrize("stage", [2, pytest.param(3, marks=pytest.mark.soak)])
def test_it_goes_on_after_one_rank_was_killed(lab: Lab, trained: Any, stage: int) -> None:
    """Killed in a save, as it looks to the next start: the newest folder is half written, the one before it whole."""
    name = f"zero{stage}-killed"
    path, out = recipe(lab, name, stage), lab.out(name)
    run = torchrun(lab, path)
    until(run, lambda: steps(lab, name) >= 5)
    os.kill(ranks_of(run)[1], signal.SIGKILL)
    assert run.wait(timeout=200) != 0, "the launcher must end when a rank has died"
    assert not (out / "model.safetensors").exists(), "it was not killed in time"
    assert checkpoints(out) and fault(out / "checkpoint-4") is None
    half = out / "checkpoint-7"
    shutil.copytree(out / "checkpoint-4", half, ignore=shutil.ignore_patterns("complete.json", "*rank_1*"))
    for rank in (0, 1):
        path.with_suffix(f".rows-{rank}").unlink()
    again = lab.ranks(path, KORMO_ROWS=str(path.with_suffix(".rows")))
    assert [rank.returncode for rank in again] == [0, 0], again[0].stderr[-4000:]
    assert "checkpoint-7 is not used: it has no complete.json" in again[0].stderr
    assert (out / "checkpoint-7.incomplete").is_dir() and not half.exists()
    assert losses(lab, name) == pytest.approx(trained_alone(lab), rel=1e-5)
    check_rows(lab, path, range(4, STEPS))
    same_model(lab, name, "base")


@pytest.mark.soak
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_signal_to_one_rank_of_a_real_run(lab: Lab, trained: Any, stage: int) -> None:
    """The launcher ends with 1 whatever the ranks return; `preempted.json` says what it was."""
    path = recipe(lab, f"signalled{stage}", stage, max_steps=40, save_steps=100)
    whole = recipe(lab, f"unsignalled{stage}", stage, max_steps=40, save_steps=100)
    finish(torchrun(lab, whole), whole)
    out = lab.out(f"signalled{stage}")
    run = torchrun(lab, path)
    until(run, lambda: steps(lab, f"signalled{stage}") >= 3)
    os.kill(ranks_of(run)[1], signal.SIGUSR1)
    assert run.wait(timeout=200) == 1
    record = json.loads((out / "preempted.json").read_text())
    assert fault(out / record["checkpoint"]) is None and record["signal"] == "SIGUSR1" and record["step"] < 40
    finish(torchrun(lab, path), path)
    assert not (out / "preempted.json").exists()
    assert losses(lab, f"signalled{stage}") == pytest.approx(losses(lab, f"unsignalled{stage}"), rel=1e-6)


CLUSTER = {
    "sbatch": """
        export SLURM_JOB_ID=4242 SLURM_JOB_NODELIST=node0 SLURM_NNODES=1 SLURM_GPUS_ON_NODE=2
        while echo started >> "$CLUSTER/starts"; do
            bash "$@" || exit
            mv "$CLUSTER/requeue" "$CLUSTER/requeued" || exit 0
        done
    """,
    "scontrol": 'if [[ $1 == show ]]; then echo 127.0.0.1; else echo "$@" > "$CLUSTER/requeue"; fi',
    "srun": 'shift; exec "$@"',
}


@pytest.mark.soak
def test_a_slurm_job_is_requeued_and_ends_as_if_nothing_had_been(lab: Lab, trained: Any) -> None:
    """The shipped script, its real training on two ranks, and a stand-in for Slurm that starts a requeued job again."""
    path, whole = (recipe(lab, name, 2, max_steps=40, save_steps=100) for name in ("slurm", "no-slurm"))
    finish(torchrun(lab, whole), whole)
    cluster = lab.folder / "cluster"
    cluster.mkdir()
    for name, body in CLUSTER.items():
        (cluster / name).write_text(f"#!/usr/bin/env bash\n{textwrap.dedent(body)}\n")
        (cluster / name).chmod(0o755)
    environment = lab.environ(
        OMP_NUM_THREADS="1", CLUSTER=str(cluster), KORMO_ROWS=str(path.with_suffix(".rows"))
    )  # fmt: skip
    environment["PATH"] = f"{cluster}:{environment['PATH']}"
    job = subprocess.Popen(
        ["sbatch", str(CONFIGS.parent / "slurm/train.sbatch"), str(path)], cwd=lab.folder, env=environment,
        stdout=path.with_suffix(".log").open("w"), stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    until(job, lambda: steps(lab, "slurm") >= 3)
    step = subprocess.run(["pgrep", "-f", "-s", str(job.pid), "train_here"], capture_output=True, text=True)
    os.kill(int(step.stdout.split()[0]), signal.SIGUSR1)  # as Slurm does: the step's first process
    assert job.wait(timeout=400) == 0, path.with_suffix(".log").read_text()[-4000:]
    assert (cluster / "starts").read_text() == "started\nstarted\n"
    assert (cluster / "requeued").read_text() == "requeue 4242\n"
    assert (lab.out("slurm") / "metrics.jsonl").read_text().count('"event": "resume"') == 1
    assert losses(lab, "slurm") == pytest.approx(losses(lab, "no-slurm"), rel=1e-6)
    same_model(lab, "slurm", "no-slurm")


@pytest.mark.soak
def test_a_full_disk_of_one_rank_is_named_and_the_last_whole_checkpoint_used(lab: Lab, trained: Any) -> None:
    path = recipe(lab, "full", 2)
    folder = lab.out("full") / "checkpoint-8" / "global_step8"
    folder.mkdir(parents=True)
    target = folder / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    run = torchrun(lab, path)
    until(run, lambda: steps(lab, "full") >= 1)  # the folder was set aside when the run began
    folder.mkdir(parents=True, exist_ok=True)
    target.symlink_to("/dev/full")
    assert run.wait(timeout=200) != 0
    log = path.with_suffix(".log").read_text()
    assert "rank 1: kormo:" in log and "no space left on the device" in log
    finish(torchrun(lab, path), path)
    assert losses(lab, "full") == pytest.approx(trained_alone(lab), rel=1e-5)
