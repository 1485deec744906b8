"""Trainings of several ranks, started, watched and compared with one rank; what `test_ranks*.py` share."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.pipeline.build import build_all
from kormo_plugins.pipeline.open import make_collator, open_dataset
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.training.checkpoints.complete import checkpoints, step_of

from .conftest import Lab

CONFIGS = Path(__file__).parents[2] / "recipes/deepspeed"
TRACE = '''
import json, os
from kormo_plugins import Component, hookimpl
from kormo_plugins.training.objective import next_token

def traced(model, inputs, num_items_in_batch, params):
    """Next-token prediction that writes down the rows that each rank trains on."""
    with open(os.environ["KORMO_ROWS"] + "-" + os.environ.get("RANK", "0"), "a") as file:
        for row in inputs["input_ids"].tolist():
            file.write(json.dumps(row) + "\\n")
    return next_token(model, inputs, num_items_in_batch, params)

@hookimpl
def kormo_objectives():
    yield Component("traced", load=traced, summary="writes down rows")
'''

STEPS, BATCH = 8, 8


QUIET = {"export": False, "samples": {"prompts": []}}


def recipe(lab: Lab, name: str, stage: int, **change: Any) -> Path:
    lab.module("trace_plugin", TRACE)
    kormo = {"plugins": ["trace_plugin"], "objective": {"name": "traced"}, **QUIET, **change.pop("kormo", {})}
    zero = {"deepspeed": str(CONFIGS / f"zero{stage}.json")} if stage else {}
    return lab.recipe(name, kormo=kormo, **{**zero, **change})


def torchrun(lab: Lab, path: Path, ranks: int = 2, **env: str) -> subprocess.Popen[str]:
    """`axolotl train` under torchrun, in a process group of its own; its output goes to NAME.log."""
    log = path.with_suffix(".log").open("a")
    return subprocess.Popen(
        ["axolotl", "train", str(path), "--launcher", "torchrun", "--", f"--nproc_per_node={ranks}",
         "--rdzv_backend=c10d", "--rdzv_endpoint=127.0.0.1:0"],
        cwd=lab.folder, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env=lab.environ(OMP_NUM_THREADS="1", KORMO_ROWS=str(path.with_suffix(".rows")), **env),
    )  # fmt: skip


def finish(run: subprocess.Popen[str], path: Path) -> None:
    assert run.wait(timeout=400) == 0, path.with_suffix(".log").read_text()[-4000:]


def ranks_of(run: subprocess.Popen[str]) -> list[int]:
    """Process ids of the launcher's ranks, rank 0 first."""
    found = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True).stdout.split()

    def rank(pid: str) -> int:
        values = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return int(next((value[5:] for value in values if value.startswith(b"RANK=")), b"99"))

    return sorted((int(pid) for pid in found), key=lambda pid: rank(str(pid)))


def until(run: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not reached() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def steps(lab: Lab, name: str) -> int:
    metrics = lab.out(name) / "metrics.jsonl"
    return metrics.read_text().count('"loss"') if metrics.exists() else 0


def logged(lab: Lab, name: str, key: str) -> list[float]:
    return [line[key] for line in read_metrics(lab.out(name) / "metrics.jsonl") if "loss" in line]


def losses(lab: Lab, name: str) -> list[float]:
    return logged(lab, name, "loss")


def expected_rows(lab: Lab) -> list[str]:
    """The rows that these recipes fix, read from their artifacts without any trainer."""
    recipe = load_recipe(lab.folder / "base.yml")  # the same data, and no plugin that only the runs can import
    built = build_all(recipe, log=lambda line: None)
    rows = open_dataset(recipe.stream_plan(), built).__getitems__(list(range(STEPS * BATCH)))
    batch = make_collator(recipe, built)(rows)
    return [json.dumps(row) for row in batch["input_ids"].tolist()]


def check_rows(lab: Lab, path: Path, steps: range, ranks: int = 2) -> None:
    """Each step's global batch was read once, by one rank or the other."""
    expected = expected_rows(lab)
    read = [path.with_suffix(f".rows-{rank}").read_text().splitlines() for rank in range(ranks)]
    each = BATCH // ranks
    for index, step in enumerate(steps):
        parts = [rows[index * each : (index + 1) * each] for rows in read]
        assert not set(parts[0]) & set(parts[-1]) or ranks == 1, "both ranks read the same rows"
        assert sorted(row for part in parts for row in part) == sorted(expected[step * BATCH : (step + 1) * BATCH]), (
            f"step {step}"
        )


def trained_alone(lab: Lab) -> list[float]:
    return losses(lab, "base")


def same_model(lab: Lab, one: str, other: str, within: float = 1e-5) -> None:
    """Equal but for rounding: the finished models of two runs, tensor by tensor."""
    ours, theirs = (load_file(lab.out(name) / "model.safetensors") for name in (one, other))
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert value.shape == theirs[key].shape and (value - theirs[key]).abs().max() < within, key


def cut_back(lab: Lab, name: str, step: int) -> None:
    """The run's folder as if it had been killed after the checkpoint at `step`."""
    for folder in checkpoints(lab.out(name)):
        if step_of(folder) > step:
            shutil.rmtree(folder)
    for file in ("model.safetensors", "complete.json"):
        (lab.out(name) / file).unlink()
