"""The script for a card runs here at a tiny size: every part gives its numbers, and one that fails loses no other."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def run(*arguments: str) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "gpu.py"), "--device", "cpu", "--tiny", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found, done.stdout


@pytest.mark.soak
def test_every_part_gives_its_numbers() -> None:
    parts = {part["name"]: part for part in run("--minutes", "24", "--part-seconds", "300")[0]["parts"]}
    assert not [part for part in parts.values() if "failed" in part]
    trained = [part for part in parts.values() if "tokens_per_second" in part]
    assert len(trained) == 17 and all(part["seconds"] > 0 for part in trained)
    assert [part["name"] for part in trained if "loss" not in part] == ["tiny: ours, logged at no step"]
    assert all(5 < part.get("loss", 6) < 7 for part in trained)
    pairs = parts["tiny: DPO, packed beside padded"]
    assert pairs["loss_difference"] < 1e-5 and pairs["ratio"] > 1
    assert parts["ceilings"]["tflops_bfloat16"] > 0
    checks = parts["checks"]
    assert checks["resumed_run_differs_by"] == checks["documents_touch_each_other"] == 0
    assert checks["loss_off"] < 0.004 and checks["gradient_off"] < 0.01


@pytest.mark.soak
def test_what_fails_or_takes_too_long_loses_no_other(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    found, text = run("--only", "ceilings;tiny: bare", "--part-seconds", "5", "--out", str(out))
    assert [part["name"] for part in found["parts"]] == ["ceilings", "tiny: bare loop"]
    assert all("failed" in part or len(part) > 2 for part in found["parts"])
    assert json.loads(out.read_text()) == found and len(text.splitlines()) == 3


def test_every_part_is_asked_for_as_its_function_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and arguments of all parts, those of a card too, without running any."""
    import inspect

    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("gpu_list", FOLDER / "gpu_list.py")
    assert spec is not None and spec.loader is not None
    listed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(listed)
    import gpu_model
    import gpu_parts

    parts = listed.parts(False, "cuda")
    assert len({name for name, _ in parts}) == len(parts) > len(listed.parts(True, "cpu"))
    for _, asked in parts:
        if asked["kind"] != "training":
            continue
        how = {key: value for key, value in asked.items() if key not in ("kind", "size", "bare")}
        function = gpu_parts.bare if asked.get("bare") else gpu_parts.training
        inspect.signature(function).bind(gpu_model.SIZES[asked["size"]], "cuda", **how)
        assert how.get("precision", "autocast") in gpu_parts.PRECISIONS


def test_every_goal_looks_at_parts_that_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all parts of a card each goal has a value; with none, none is said to be reached or missed."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import gpu_goals
    import gpu_list

    names = [name for name, _ in gpu_list.parts(False, "cuda")]
    assert {part for goal in gpu_goals.GOALS for part in goal.parts} <= set(names)
    same = {"seconds": 1.0, "mfu": 0.45, "loss": 8.0, "ratio": 1.6, "predicted_gb": 51.0, "reserved_gb": 50.0}
    goals = {goal["goal"]: goal for goal in gpu_goals.judged([{"name": name, **same} for name in names], 9.0)}
    assert all(goal["value"] is not None for goal in goals.values())
    reached = {name: goal["reached"] for name, goal in goals.items()}
    assert reached["1b: MFU"] and not reached["slice: MFU"] and reached["1b: DPO packed, times padded"]
    assert not reached["slice: times plain Axolotl"] and reached["slice: times the bare loop"]
    assert "NOT reached (asked: at least 0.5)" in gpu_goals.shown(goals["slice: MFU"])
    failed = gpu_goals.judged([{"name": name, "failed": "no memory"} for name in names], 11.0)
    assert [goal["reached"] for goal in failed[:-1]] == [None] * len(gpu_goals.GOALS)
    assert failed[-1]["reached"] is False and "not measured" in gpu_goals.shown(failed[0])
