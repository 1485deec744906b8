"""The script for a card runs here at a tiny size: every part gives its numbers, and one that fails loses no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def run(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--device", "cpu", "--tiny", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.soak
def test_every_part_gives_its_numbers() -> None:
    parts = {part["name"]: part for part in run("--minutes", "20", "--part-seconds", "300")["parts"]}
    assert not [part for part in parts.values() if "failed" in part]
    trained = [part for part in parts.values() if "tokens_per_second" in part]
    assert len(trained) == 8 and all(part["seconds"] > 0 for part in trained)
    pairs = parts["tiny: DPO, packed beside padded"]
    assert pairs["loss_difference"] < 1e-5 and pairs["ratio"] > 1
    assert parts["ceilings"]["tflops_bfloat16"] > 0


@pytest.mark.soak
def test_what_fails_loses_no_other() -> None:
    found = run("--only", "ceilings,tiny: bare", "--part-seconds", "6")["parts"]
    assert [part["name"] for part in found] == ["ceilings", "tiny: bare loop"]
    assert all("failed" in part or len(part) > 2 for part in found)
