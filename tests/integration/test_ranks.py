"""Several ranks for real: `axolotl train … --launcher torchrun` over gloo, under DDP, ZeRO-2 and ZeRO-3. (Where the
launcher itself is not looked at, its ranks are started without it, which saves their start-up: `Lab.ranks`.)

What counts is not that it ran: the rows that each rank read are compared with the rows that the recipe fixes, and
the losses with those of one rank.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from kormo_plugins.errors import KormoError
from kormo_plugins.metrics_file import read_metrics
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.training.checkpoint import checkpoints, fault
from kormo_plugins.training.sharded import shards_of
from kormo_plugins.training.universal import convert
from kormo_plugins.workspace.build import build_all
from kormo_plugins.workspace.consolidate import consolidate
from kormo_plugins.workspace.run import make_collator, open_dataset

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
    return lab.recipe(name, kormo=kormo, **zero, **change)


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


def _losses(lab: Lab, name: str) -> list[float]:
    return [line["loss"] for line in read_metrics(lab.out(name) / "metrics.jsonl") if "loss" in line]


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
    ours, alone = (load_file(lab.out(name) / "model.safetensors") for name in ("zero3", "base"))
    assert ours.keys() == alone.keys()
    for key, value in ours.items():
        assert value.shape == alone[key].shape and (value - alone[key]).abs().max() < 1e-5, key
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


def test_zero_2_goes_on_after_one_rank_was_killed(lab: Lab, trained: Any) -> None:
    path = _recipe(lab, "zero2", 2)
    run = _torchrun(lab, path)
    _until(run, lambda: _steps(lab, "zero2") >= 5)
    os.kill(_ranks_of(run)[1], signal.SIGKILL)
    assert run.wait(timeout=200) != 0, "the launcher must end when a rank has died"
    assert not (lab.out("zero2") / "model.safetensors").exists(), "it was not killed in time"
    assert checkpoints(lab.out("zero2")) and fault(lab.out("zero2") / "checkpoint-4") is None
    for rank in (0, 1):
        path.with_suffix(f".rows-{rank}").unlink()
    _finish(_torchrun(lab, path), path)
    assert _losses(lab, "zero2") == pytest.approx(_trained_alone(lab), rel=1e-5)
    _check_rows(lab, path, range(4, STEPS))


@pytest.mark.soak
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_number_of_ranks_changes_by_a_universal_checkpoint(lab: Lab, trained: Any, stage: int) -> None:
    name = f"elastic{stage}"
    for ranks, until in ((1, 4), (2, 8)):
        path = _recipe(lab, name, stage, max_steps=until, weight_decay=1.0, save_steps=2)
        if ranks == 2:
            done = _torchrun(lab, path, ranks)
            assert done.wait(timeout=300) != 0
            assert "kormo checkpoint universal" in path.with_suffix(".log").read_text()
            newest = lab.out(name) / "checkpoint-4"
            subprocess.run(["kormo", "checkpoint", "universal", str(newest)], env=lab.environ(), check=True)
            assert fault(newest) is None
        for rank in range(ranks):
            path.with_suffix(f".rows-{rank}").unlink(missing_ok=True)
        _finish(_torchrun(lab, path, ranks), path)
    _check_rows(lab, path, range(4, 8))
    alone = lab.train(f"{name}-alone", change={"weight_decay": 1.0, "kormo": QUIET})
    assert alone.returncode == 0, alone.stderr[-3000:]
    assert _losses(lab, name) == pytest.approx(_losses(lab, f"{name}-alone"), rel=1e-5)
    ours, other = (load_file(lab.out(one) / "model.safetensors") for one in (name, f"{name}-alone"))
    assert all((value - other[key]).abs().max() < 1e-5 for key, value in ours.items())


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
