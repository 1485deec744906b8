"""Real runs that end early, and real runs with fused kernels."""

from __future__ import annotations

import json
import re
import sqlite3
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.store.complete import fault
from kormo_plugins.training.checkpoints.complete import checkpoints

from .conftest import Lab

pytestmark = pytest.mark.axolotl

HARM = '''
import os
from kormo_plugins import Component, hookimpl
from kormo_plugins.training.objective import next_token

calls = 0

def harmed(model, inputs, num_items_in_batch, params):
    """Next-token prediction whose loss is NaN in one micro-batch of one rank."""
    global calls
    loss, outputs = next_token(model, inputs, num_items_in_batch, params)
    calls += 1
    if calls == int(os.environ["KORMO_HARM"]) and os.environ.get("RANK", "0") == os.environ.get("KORMO_HARMED", "0"):
        loss = loss * float("nan")
    return loss, outputs

@hookimpl
def kormo_objectives():
    yield Component("harmed", load=harmed, summary="goes wrong")
'''
CONFIGS = Path(__file__).parents[2] / "recipes/deepspeed"
NO_END: dict[str, Any] = {"export": False, "samples": {"prompts": []}}


def harmed(lab: Lab, name: str, **change: Any) -> Path:
    """A recipe whose loss goes wrong in its `KORMO_HARM`th micro-batch of 4 rows (8 a step)."""
    lab.module("harm_plugin", HARM)
    kormo = {**NO_END, "plugins": ["harm_plugin"], "objective": {"name": "harmed"}}
    return lab.recipe(name, kormo=kormo, **change)


@pytest.fixture(scope="module")
def nan(lab: Lab, trained: Any) -> Any:
    """A run whose sixth step has a NaN."""
    path = harmed(
        lab, "nan", use_tensorboard=True, use_wandb=True, wandb_mode="offline", wandb_project="ours", use_trackio=True,
        trackio_project_name="ours",
    )  # fmt: skip
    return lab.axolotl(
        "train", str(path), "--launcher", "python", KORMO_HARM="12", WANDB_DIR=str(lab.folder),
        TRACKIO_DIR=str(lab.folder / "trackio"),
    )  # fmt: skip


def test_a_nan_ends_the_run_with_its_documents(lab: Lab, nan: Any) -> None:
    done = nan
    assert done.returncode == 2, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert done.stderr.count("step 6 of 8\n  found:  loss nan") == 1
    out = lab.out("nan")
    report = json.loads((out / "stopped.json").read_text())
    assert report["step"] == 5 and len(report["losses_before"]) == 5
    told = subprocess.run(
        ["kormo", "data", "batch", str(lab.folder / "nan.yml"), "--step", "5", "--json"],
        cwd=lab.folder, env=lab.environ(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    keys = ("index", "source", "row", "documents")
    told_samples, kept = (
        sorted([sample[key] for key in keys] for sample in samples)
        for samples in (json.loads(told.stdout)["samples"], report["batch"]["samples"])
    )
    assert told_samples == kept
    losses = [sample["loss"] for sample in report["batch"]["samples"]]
    assert losses == sorted(losses, reverse=True) and 4 < losses[-1] < losses[0] < 8
    assert report["batch"]["samples"][0]["documents"][0]["id"] in done.stderr
    assert [folder.name for folder in checkpoints(out)] == ["checkpoint-4"] and fault(out / "checkpoint-4") is None
    assert not (out / "model.safetensors").exists()
    lines = [line for line in read_metrics(out / "metrics.jsonl") if "loss" in line]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]


@pytest.mark.soak
def test_a_nan_that_is_to_be_ignored_is_told_all_the_same(lab: Lab, trained: Any) -> None:
    """Trainer's own filter would log the mean of the other steps instead."""
    kormo = {**NO_END, "plugins": ["harm_plugin"], "objective": {"name": "harmed"}, "stop_on": {"nan": False}}
    harmed(lab, "nan-ignored")
    path = lab.recipe("nan-ignored", kormo=kormo)
    done = lab.axolotl("train", str(path), "--launcher", "python", KORMO_HARM="12")
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [line["loss"] for line in read_metrics(lab.out("nan-ignored") / "metrics.jsonl") if "loss" in line]
    assert losses[4] == losses[4] and losses[5] != losses[5]


def _tensorboard(lab: Lab) -> dict[str, float]:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folders = {str(path.parent) for path in lab.out("nan").rglob("events.out.tfevents.*")}
    assert len(folders) == 1
    events = reader.EventAccumulator(folders.pop()).Reload()
    return {key: events.Scalars(key)[-1].value for key in events.Tags()["scalars"]}


def _wandb(lab: Lab) -> dict[str, float]:
    """The last history record of an offline run: records of LevelDB's log format, in blocks of 32 KiB."""
    messages = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    (file,) = lab.folder.glob("wandb/offline-run-*/*.wandb")
    data, place, record, last = file.read_bytes(), 7, b"", {}
    while place + 7 <= len(data):
        size, kind = struct.unpack("<4xHB", data[place : place + 7])
        if 32768 - place % 32768 < 7 or kind == 0:  # what is left of a block holds no header
            place += 32768 - place % 32768
            continue
        record = (b"" if kind in (1, 2) else record) + data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part of one
            history = messages.Record.FromString(record).history
            logged = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in history.item}
            last = logged if "train/loss" in logged else last
    return last


def _trackio(lab: Lab) -> dict[str, float]:
    pytest.importorskip("trackio")
    with sqlite3.connect(lab.folder / "trackio" / "ours.db") as database:
        rows = [json.loads(row) for (row,) in database.execute("SELECT metrics FROM metrics ORDER BY id")]
    return next(row for row in reversed(rows) if "train/loss" in row)


@pytest.mark.parametrize("tracker", [_tensorboard, _wandb, _trackio])
def test_a_tracker_sees_what_the_file_has(lab: Lab, nan: Any, tracker: Callable[[Lab], dict[str, float]]) -> None:
    seen = tracker(lab)
    line = next(line for line in read_metrics(lab.out("nan") / "metrics.jsonl") if line["step"] == 5)
    for key in ("loss", "grad_norm", "loss/source/korean", "loss/language/en", "tokens", "sample", "tokens_per_second"):
        assert seen[f"train/{key}"] == pytest.approx(line[key], rel=1e-6), key


def test_a_log_of_a_run_is_lines(lab: Lab, trained: Any) -> None:
    assert "\r" not in trained.stderr + trained.stdout
    assert re.search(r"kormo: step 8 of 8 \(100%\), loss \d\.\d+, [\d,]+ tokens/s, 0:\d\d in all\n", trained.stderr)
    last = read_metrics(lab.out("base") / "metrics.jsonl")[7]
    tokens = {name: last[f"predicted/source/{name}"] for name in ("korean", "english")}
    mean = sum(last[f"loss/source/{name}"] * count for name, count in tokens.items()) / sum(tokens.values())
    assert mean == pytest.approx(last["loss"], rel=1e-5)
    assert last["loss/language/ko"] == last["loss/source/korean"] and last["sample"] == 64


@pytest.mark.soak
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_nan_on_one_of_two_ranks_ends_both(lab: Lab, trained: Any, nan: Any, stage: int) -> None:
    name = f"nan-ranks{stage}"
    zero = {"deepspeed": str(CONFIGS / f"zero{stage}.json")} if stage else {}
    done = lab.axolotl(
        "train", str(harmed(lab, name, **zero)), "--launcher", "torchrun", "--", "--nproc_per_node=2",
        "--rdzv_backend=c10d", "--rdzv_endpoint=127.0.0.1:0", KORMO_HARM="6", KORMO_HARMED="1", OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.count("step 6 of 8\n  found:  loss nan") == 1, done.stderr[-3000:]
    assert [folder.name for folder in checkpoints(lab.out(name))] == ["checkpoint-4"]
    one = read_metrics(lab.out("base") / "metrics.jsonl")[:5]
    two = [line for line in read_metrics(lab.out(name) / "metrics.jsonl") if "loss" in line]
    keys = [key for key in one[0] if key.startswith(("loss", "predicted", "batch_loss", "tokens"))]
    keys.remove("tokens_per_second")
    for ours, theirs in zip(one, two, strict=True):
        assert [theirs[key] for key in keys] == pytest.approx([ours[key] for key in keys], rel=1e-5)
    reports = [json.loads((lab.out(run) / "stopped.json").read_text()) for run in ("nan", name)]
    alone, ranks = ({sample["index"]: sample for sample in report["batch"]["samples"]} for report in reports)
    assert {i: s["documents"] for i, s in alone.items()} == {i: s["documents"] for i, s in ranks.items()}
    if stage:  # the update is made already, and no weights are left that could tell one row from another
        assert not any("loss" in sample for sample in ranks.values()) and "of the highest loss" not in done.stderr
    else:
        losses = [{i: sample["loss"] for i, sample in samples.items()} for samples in (alone, ranks)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)


SHIM = """
import liger_kernel.ops.rms_norm as module
import triton.language as tl

module.rsqrt = lambda x: tl.math.rsqrt(x)  # the interpreter has no libdevice
"""


@pytest.mark.soak
def test_a_run_with_fused_kernels_is_the_same_run(lab: Lab, trained: Any) -> None:
    """`axolotl train` with all of Liger in Triton's interpreter, the export and the samples included."""
    (lab.folder / "shim_plugin.py").write_text(SHIM)
    change = {"max_steps": 3, "micro_batch_size": 1, "kormo": {"global_batch": 2, "plugins": ["shim_plugin"]}}
    kernels = {**change, "kormo": {**change["kormo"], "kernels": [{"name": "liger"}]}}
    assert lab.train("unfused", change=change).returncode == 0
    done = lab.train("fused", change=kernels, TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr.count("kormo: kernels: liger for kormo: rms_norm, rope, swiglu, fused_linear_cross_entropy") == 1
    assert "logits compared, all equal" in done.stderr and "서울은 ▸" in done.stdout
    plain, fused = (
        [line for line in read_metrics(lab.out(name) / "metrics.jsonl") if "loss" in line]
        for name in ("unfused", "fused")
    )
    seen = [
        [
            {key: line[key] for key in line if key.startswith(("loss", "predicted", "batch_loss", "grad_norm"))}
            for line in run
        ]
        for run in (plain, fused)
    ]
    assert len(plain) == 3 and {"loss/source/korean", "loss/language/en", "batch_loss"} <= {*seen[0][0], *seen[0][1]}
    for ours, theirs in zip(*seen, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-5)
