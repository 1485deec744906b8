"""Several ranks for real: `axolotl train … --launcher torchrun` over gloo, under DDP, ZeRO-2 and ZeRO-3. (Where the
launcher itself is not looked at, its ranks are started without it, which saves their start-up: `Lab.ranks`.)

What counts is not that it ran: the rows that each rank read are compared with the rows that the recipe fixes, and
the losses with those of one rank.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from kormo_plugins.errors import KormoError
from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.pipeline.build import build_all
from kormo_plugins.pipeline.open import make_collator, open_dataset
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.store.complete import fault
from kormo_plugins.training.checkpoints.complete import checkpoints, step_of
from kormo_plugins.training.checkpoints.consolidate import consolidate
from kormo_plugins.training.checkpoints.sharded import shards_of
from kormo_plugins.training.checkpoints.universal import convert

from .conftest import Lab
from .test_train import TRACE

pytestmark = pytest.mark.axolotl

CONFIGS = Path(__file__).parents[2] / "recipes/deepspeed"
STEPS, BATCH = 8, 8
QUIET = {"export": False, "samples": {"prompts": []}}


def _recipe(lab: Lab, name: str, stage: int, **change: Any) -> Path:
    (lab.folder / "trace_plugin.py").write_text(TRACE)
    kormo = {"plugins": ["trace_plugin"], "objective": {"name": "traced"}, **QUIET, **change.pop("kormo", {})}
    zero = {"deepspeed": str(CONFIGS / f"zero{stage}.json")} if stage else {}
    return lab.recipe(name, kormo=kormo, **{**zero, **change})


def _torchrun(lab: Lab, path: Path, ranks: int = 2, **env: str) -> subprocess.Popen[str]:
    """`axolotl train` under torchrun, in a process group of its own; its output goes to NAME.log."""
    log = path.with_suffix(".log").open("a")
    return subprocess.Popen(
        ["axolotl", "train", str(path), "--launcher", "torchrun", "--", f"--nproc_per_node={ranks}",
         "--rdzv_backend=c10d", "--rdzv_endpoint=127.0.0.1:0"],
        cwd=lab.folder, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env=lab.environ(OMP_NUM_THREADS="1", KORMO_ROWS=str(path.with_suffix(".rows")), **env),
    )  # fmt: skip


def _finish(run: subprocess.Popen[str], path: Path) -> None:
    assert run.wait(timeout=400) == 0, path.with_suffix(".log").read_text()[-4000:]


def _ranks_of(run: subprocess.Popen[str]) -> list[int]:
    """Process ids of the launcher's ranks, rank 0 first."""
    found = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True).stdout.split()

    def rank(pid: str) -> int:
        values = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return int(next((value[5:] for value in values if value.startswith(b"RANK=")), b"99"))

    return sorted((int(pid) for pid in found), key=lambda pid: rank(str(pid)))


def _until(run: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not reached() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def _steps(lab: Lab, name: str) -> int:
    metrics = lab.out(name) / "metrics.jsonl"
    return metrics.read_text().count('"loss"') if metrics.exists() else 0


def _logged(lab: Lab, name: str, key: str) -> list[float]:
    return [line[key] for line in read_metrics(lab.out(name) / "metrics.jsonl") if "loss" in line]


def _losses(lab: Lab, name: str) -> list[float]:
    return _logged(lab, name, "loss")


def _expected_rows(lab: Lab) -> list[str]:
    """The rows that these recipes fix, read from their artifacts without any trainer."""
    recipe = load_recipe(lab.folder / "base.yml")  # the same data, and no plugin that only the runs can import
    built = build_all(recipe, log=lambda line: None)
    rows = open_dataset(recipe, built).__getitems__(list(range(STEPS * BATCH)))
    batch = make_collator(recipe, built)(rows)
    return [json.dumps(row) for row in batch["input_ids"].tolist()]


def _check_rows(lab: Lab, path: Path, steps: range, ranks: int = 2) -> None:
    """Each step's global batch was read once, by one rank or the other."""
    expected = _expected_rows(lab)
    read = [path.with_suffix(f".rows-{rank}").read_text().splitlines() for rank in range(ranks)]
    each = BATCH // ranks
    for index, step in enumerate(steps):
        parts = [rows[index * each : (index + 1) * each] for rows in read]
        assert not set(parts[0]) & set(parts[-1]) or ranks == 1, "both ranks read the same rows"
        assert sorted(row for part in parts for row in part) == sorted(expected[step * BATCH : (step + 1) * BATCH]), (
            f"step {step}"
        )


def _trained_alone(lab: Lab) -> list[float]:
    return _losses(lab, "base")


def test_zero_3_is_one_rank_and_its_model_is_whole(lab: Lab, trained: Any) -> None:
    path = _recipe(lab, "zero3", 3, kormo={"export": True, "milestones": 3 * 8 * 128}, save_steps=4, save_total_limit=1)
    run = lab.ranks(path, KORMO_ROWS=str(path.with_suffix(".rows")))
    assert all(rank.returncode == 0 for rank in run), run[0].stderr[-4000:]
    assert _losses(lab, "zero3") == pytest.approx(_trained_alone(lab), rel=1e-5)
    _check_rows(lab, path, range(STEPS))
    shards = shards_of(lab.out("zero3") / "checkpoint-8")
    assert shards is not None and shards.ranks == 2 and shards.partitioned_weights
    _same_model(lab, "zero3", "base")
    ours = load_file(lab.out("zero3") / "model.safetensors")
    assert (lab.out("zero3") / "export" / "model.safetensors").is_file()
    # save_total_limit is 1: of 3, 4, 6 and 8, the rolling 4 is gone, the milestones 3 and 6 are not
    assert [folder.name for folder in checkpoints(lab.out("zero3"))] == ["checkpoint-3", "checkpoint-6", "checkpoint-8"]
    record = json.loads((lab.out("zero3") / "run.json").read_text())
    assert [entry["step"] for entry in record["milestones"]] == [3, 6]
    _plain_and_universal(lab, lab.out("zero3") / "checkpoint-8", ours)


def _plain_and_universal(lab: Lab, checkpoint: Path, model: dict[str, Any]) -> None:
    """The parts of the ranks put together are the finished model; the universal form is listed in the marker."""
    found = consolidate(checkpoint, lab.folder / "plain")
    assert found["compared"] == found["weights"] == len(model) and fault(lab.folder / "plain") is None
    plain = load_file(lab.folder / "plain" / "model.safetensors")
    assert all((plain[key] == value).all() for key, value in model.items())
    with pytest.raises(KormoError, match="nothing is overwritten"):
        consolidate(checkpoint, lab.folder / "plain")
    assert convert(checkpoint).universal and fault(checkpoint) is None
    (checkpoint / "global_step8_universal" / "zero" / "optimizer_state.pt").write_bytes(b"")
    assert "optimizer_state.pt" in str(fault(checkpoint))


@pytest.mark.parametrize("stage", [2, pytest.param(3, marks=pytest.mark.soak)])
def test_it_goes_on_after_one_rank_was_killed(lab: Lab, trained: Any, stage: int) -> None:
    """Killed in a save, as it looks to the next start: the newest folder is half written, the one before it whole."""
    name = f"zero{stage}-killed"
    path, out = _recipe(lab, name, stage), lab.out(name)
    run = _torchrun(lab, path)
    _until(run, lambda: _steps(lab, name) >= 5)
    os.kill(_ranks_of(run)[1], signal.SIGKILL)
    assert run.wait(timeout=200) != 0, "the launcher must end when a rank has died"
    assert not (out / "model.safetensors").exists(), "it was not killed in time"
    assert checkpoints(out) and fault(out / "checkpoint-4") is None
    half = out / "checkpoint-7"
    shutil.copytree(out / "checkpoint-4", half, ignore=shutil.ignore_patterns("complete.json", "*rank_1*"))
    for rank in (0, 1):
        path.with_suffix(f".rows-{rank}").unlink()
    _finish(_torchrun(lab, path), path)
    assert "checkpoint-7 is not used: it has no complete.json" in path.with_suffix(".log").read_text()
    assert (out / "checkpoint-7.incomplete").is_dir() and not half.exists()
    assert _losses(lab, name) == pytest.approx(_trained_alone(lab), rel=1e-5)
    _check_rows(lab, path, range(4, STEPS))
    _same_model(lab, name, "base")


def _same_model(lab: Lab, one: str, other: str, within: float = 1e-5) -> None:
    """Equal but for rounding: the finished models of two runs, tensor by tensor."""
    ours, theirs = (load_file(lab.out(name) / "model.safetensors") for name in (one, other))
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert value.shape == theirs[key].shape and (value - theirs[key]).abs().max() < within, key


def _cut_back(lab: Lab, name: str, step: int) -> None:
    """The run's folder as if it had been killed after the checkpoint at `step`."""
    for folder in checkpoints(lab.out(name)):
        if step_of(folder) > step:
            shutil.rmtree(folder)
    for file in ("model.safetensors", "complete.json"):
        (lab.out(name) / file).unlink()


@pytest.mark.soak
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_number_of_ranks_changes_by_universal_checkpoints(lab: Lab, trained: Any, stage: int) -> None:
    """1 -> 2 -> 1 ranks ends where one rank does that was never stopped: losses, rate, and every weight.

    A strong decay, and a rate that moves: what DeepSpeed would get wrong (one count of steps for all groups, one
    group's settings for all) shows in the weights.
    """
    name, change = f"elastic{stage}", {"weight_decay": 1.0, "lr_scheduler": "cosine", "warmup_steps": 2}
    path = _recipe(lab, name, stage, save_steps=3, save_total_limit=9, **change)
    _finish(_torchrun(lab, path, 1), path)
    shutil.copytree(lab.out(name), lab.out(f"{name}-whole"))
    for step, before, ranks in ((3, 1, 2), (6, 2, 1)):
        _cut_back(lab, name, step)
        path.with_suffix(".log").write_text("")
        assert _torchrun(lab, path, ranks).wait(timeout=300) != 0
        assert f"written by {before} rank(s); this job has {ranks}" in path.with_suffix(".log").read_text()
        newest = lab.out(name) / f"checkpoint-{step}"
        subprocess.run(["kormo", "checkpoint", "universal", str(newest)], env=lab.environ(), check=True)
        assert fault(newest) is None
        for rank in (0, 1):
            path.with_suffix(f".rows-{rank}").unlink(missing_ok=True)
        _finish(_torchrun(lab, path, ranks), path)
        _check_rows(lab, path, range(step, STEPS), ranks)
        for key in ("loss", "learning_rate", "grad_norm"):
            assert _logged(lab, name, key) == pytest.approx(_logged(lab, f"{name}-whole", key), rel=1e-5), key
        _same_model(lab, name, f"{name}-whole")
    alone = lab.train(f"{name}-alone", change={**change, "kormo": QUIET})
    assert alone.returncode == 0, alone.stderr[-3000:]
    assert _losses(lab, name) == pytest.approx(_losses(lab, f"{name}-alone"), rel=1e-5)
    _same_model(lab, name, f"{name}-alone")


CHANGED: dict[str, Any] = {
    "learning_rate": 2e-3, "weight_decay": 1.0, "adam_beta2": 0.9, "max_grad_norm": 0.05, "lr_scheduler": "cosine",
    "warmup_steps": 2, "max_steps": 10,
}  # fmt: skip
"""Each of them moves the weights by more than `_same_model` admits."""


@pytest.mark.soak
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_changed_settings_hold_after_a_resume(lab: Lab, trained: Any, stage: int) -> None:
    """DeepSpeed reads its checkpoints itself; the recipe must win there as it does on one rank without it."""
    for name, engine in (("changed-alone", 0), (f"changed{stage}", stage)):
        if lab.out(name).exists():
            continue
        for change in ({"max_steps": 4}, CHANGED):
            path = _recipe(lab, name, engine, **change)
            _finish(_torchrun(lab, path, 2 if engine else 1), path)
    rates = [2e-3 * 0.5 * (1 + math.cos(math.pi * (step - 2) / 8)) for step in range(4, 10)]
    assert _logged(lab, f"changed{stage}", "learning_rate")[4:] == pytest.approx(rates)
    for key in ("loss", "learning_rate"):
        assert _logged(lab, f"changed{stage}", key) == pytest.approx(_logged(lab, "changed-alone", key), rel=1e-5), key
    _same_model(lab, f"changed{stage}", "changed-alone")


WRITES = """
import functools, os
from transformers import PreTrainedModel, PreTrainedTokenizerBase

def told(kind, original):
    @functools.wraps(original)
    def save_pretrained(self, folder, *args, **kwargs):
        with open(os.environ["KORMO_WRITES"] + "-" + os.environ.get("RANK", "none"), "a") as file:
            print(kind, folder, file=file)
        return original(self, folder, *args, **kwargs)
    return save_pretrained

for kind in (PreTrainedModel, PreTrainedTokenizerBase):
    kind.save_pretrained = told(kind.__name__, kind.save_pretrained)
"""


@pytest.mark.soak
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_two_nodes_have_one_writer(lab: Lab, trained: Any, stage: int) -> None:
    """A launcher for each node, as the README says; to Axolotl the first rank of every node is the one that saves."""
    (lab.folder / "writes_plugin.py").write_text(WRITES)
    name = f"nodes{stage}"
    path = _recipe(lab, name, stage, kormo={"plugins": ["trace_plugin", "writes_plugin"]})
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        endpoint = f"--rdzv_endpoint=127.0.0.1:{s.getsockname()[1]}"
    log = path.with_suffix(".log").open("a")
    nodes = [
        subprocess.Popen(
            ["axolotl", "train", str(path), "--launcher", "torchrun", "--", "--nnodes=2", "--nproc_per_node=1",
             "--rdzv_backend=c10d", endpoint, "--rdzv_id=1", "--local_addr=127.0.0.1"],
            cwd=lab.folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env=lab.environ(OMP_NUM_THREADS="1", KORMO_ROWS=str(path.with_suffix(".rows")),
                            KORMO_WRITES=str(lab.folder / f"{name}.writes")),
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [node.wait(timeout=400) for node in nodes] == [0, 0], path.with_suffix(".log").read_text()[-4000:]
    _check_rows(lab, path, range(STEPS))
    assert _losses(lab, name) == pytest.approx(_trained_alone(lab), rel=1e-5)
    _same_model(lab, name, "base")
    assert {file.name for file in lab.folder.glob(f"{name}.writes-*")} == {f"{name}.writes-0"}
    assert f"PreTrainedModel {lab.out(name)}\n" in (lab.folder / f"{name}.writes-0").read_text()


NO_GPU = """
import ray.train

whole = ray.train.ScalingConfig
ray.train.ScalingConfig = lambda **told: whole(**{**told, "use_gpu": False, "resources_per_worker": {"CPU": 1}})
"""
"""Axolotl asks Ray for a GPU for each worker; here there is none."""


@pytest.mark.soak
def test_rays_launcher_trains_the_same(lab: Lab, trained: Any) -> None:
    """`axolotl train … --use-ray` with a cluster of this machine alone: nothing but the GPUs is another thing."""
    pytest.importorskip("ray.train.torch", reason="Ray's trainer is not installed: pip install 'ray[train]'")
    (lab.folder / "no_gpu_plugin.py").write_text(NO_GPU)
    path = _recipe(lab, "ray", 0, kormo={"plugins": ["trace_plugin", "no_gpu_plugin"]})
    done = lab.axolotl(
        "train", str(path), "--use-ray", "--ray-num-workers=2", OMP_NUM_THREADS="1", RAY_USAGE_STATS_ENABLED="0",
        KORMO_ROWS=str(path.with_suffix(".rows")),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    _check_rows(lab, path, range(STEPS))
    assert _losses(lab, "ray") == pytest.approx(_trained_alone(lab), rel=1e-5)
    _same_model(lab, "ray", "base")


@pytest.mark.soak
@pytest.mark.parametrize("stage", [2, 3])
def test_offloading_is_the_same_run(lab: Lab, trained: Any, stage: int) -> None:
    """DeepSpeed compiles its CPU Adam here, as on a GPU's host; then killed, and gone on from the checkpoint."""
    if shutil.which("g++") is None:
        pytest.skip("DeepSpeed's CPU Adam is compiled by g++, and there is none")
    name = f"zero{stage}-offload"
    path = _recipe(lab, name, stage, deepspeed=str(CONFIGS / f"zero{stage}_offload.json"))
    extensions = {"TORCH_EXTENSIONS_DIR": str(lab.folder / "extensions")}
    _finish(_torchrun(lab, path, **extensions), path)
    _check_rows(lab, path, range(STEPS))
    _cut_back(lab, name, 4)
    _finish(_torchrun(lab, path, **extensions), path)
    assert '{"event": "resume", "step": 4' in (lab.out(name) / "metrics.jsonl").read_text()
    assert _losses(lab, name) == pytest.approx(_trained_alone(lab), rel=1e-5)
    # Another Adam: a step of it is torch's to 2e-7, and eight of a rate of 0.01 made 3e-5 of that.
    _same_model(lab, name, "base", within=1e-4)


@pytest.mark.soak
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_signal_to_one_rank_of_a_real_run(lab: Lab, trained: Any, stage: int) -> None:
    """The launcher ends with 1 whatever the ranks return; `preempted.json` says what it was."""
    path = _recipe(lab, f"signalled{stage}", stage, max_steps=40, save_steps=100)
    whole = _recipe(lab, f"unsignalled{stage}", stage, max_steps=40, save_steps=100)
    _finish(_torchrun(lab, whole), whole)
    out = lab.out(f"signalled{stage}")
    run = _torchrun(lab, path)
    _until(run, lambda: _steps(lab, f"signalled{stage}") >= 3)
    os.kill(_ranks_of(run)[1], signal.SIGUSR1)
    assert run.wait(timeout=200) == 1
    record = json.loads((out / "preempted.json").read_text())
    assert fault(out / record["checkpoint"]) is None and record["signal"] == "SIGUSR1" and record["step"] < 40
    _finish(_torchrun(lab, path), path)
    assert not (out / "preempted.json").exists()
    assert _losses(lab, f"signalled{stage}") == pytest.approx(_losses(lab, f"unsignalled{stage}"), rel=1e-6)


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
    path, whole = (_recipe(lab, name, 2, max_steps=40, save_steps=100) for name in ("slurm", "no-slurm"))
    _finish(_torchrun(lab, whole), whole)
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
    _until(job, lambda: _steps(lab, "slurm") >= 3)
    step = subprocess.run(["pgrep", "-f", "-s", str(job.pid), "train_here"], capture_output=True, text=True)
    os.kill(int(step.stdout.split()[0]), signal.SIGUSR1)  # as Slurm does: the step's first process
    assert job.wait(timeout=400) == 0, path.with_suffix(".log").read_text()[-4000:]
    assert (cluster / "starts").read_text() == "started\nstarted\n"
    assert (cluster / "requeued").read_text() == "requeue 4242\n"
    assert (lab.out("slurm") / "metrics.jsonl").read_text().count('"event": "resume"') == 1
    assert _losses(lab, "slurm") == pytest.approx(_losses(lab, "no-slurm"), rel=1e-6)
    _same_model(lab, "slurm", "no-slurm")


@pytest.mark.soak
def test_a_full_disk_of_one_rank_is_named_and_the_last_whole_checkpoint_used(lab: Lab, trained: Any) -> None:
    path = _recipe(lab, "full", 2)
    folder = lab.out("full") / "checkpoint-8" / "global_step8"
    folder.mkdir(parents=True)
    target = folder / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    run = _torchrun(lab, path)
    _until(run, lambda: _steps(lab, "full") >= 1)  # the folder was set aside when the run began
    folder.mkdir(parents=True, exist_ok=True)
    target.symlink_to("/dev/full")
    assert run.wait(timeout=200) != 0
    log = path.with_suffix(".log").read_text()
    assert "rank 1: kormo:" in log and "no space left on the device" in log
    _finish(_torchrun(lab, path), path)
    assert _losses(lab, "full") == pytest.approx(_trained_alone(lab), rel=1e-5)


@pytest.mark.soak
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_bfloat16_has_float32_masters_on_every_rank(lab: Lab, trained: Any, stage: int) -> None:
    """The check after the first step stops a run whose tensors differ; the checkpoint shows the masters themselves."""
    precision = {"weights": "bfloat16", "compute": "bfloat16", "master": "float32", "optimizer": "float32"}
    path = _recipe(lab, f"bf16-{stage}", stage, kormo={"precision": precision}, max_steps=4)
    _finish(_torchrun(lab, path), path)
    newest, plain = lab.out(f"bf16-{stage}") / "checkpoint-4", lab.folder / f"plain-{stage}"
    if stage == 1:
        with pytest.raises(KormoError, match="ZeRO-1 in bfloat16"):
            consolidate(newest, plain)
        return
    done = subprocess.run(
        ["kormo", "checkpoint", "consolidate", str(newest), str(plain), "--json"], env=lab.environ(), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["compared"] == found["weights"] > 0
    weights = load_file(plain / "model.safetensors")
    assert all(str(value.dtype) == "torch.float32" for value in weights.values())
    assert any((value.bfloat16().float() != value).any() for value in weights.values()), "these are no masters"
    assert fault(plain) is None
