"""Variants whose trainings were the same run are reported; others are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.experiments.ablation.indistinct import indistinct
from kormo_plugins.experiments.ablation.runner import STATE, run

from .test_ablation import Trainer, ablation, files  # noqa: F401

LOSSES = [4.0, 3.5, 3.25]


def cell(folder: Path, losses: list[float] = LOSSES, measure: float = 1.0, **more: Any) -> Any:
    """A finished cell; times differ from cell to cell, as those of equal runs do."""
    folder.mkdir()
    lines = [{"step": step, "loss": loss, "seconds": hash(folder), **more} for step, loss in enumerate(losses, 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"hash": folder.name, "folder": str(folder), "measures": {"loss": measure}}


@pytest.mark.parametrize(
    ("second", "same"),
    [
        ({}, True),
        ({"losses": [4.0, 3.5, 3.25000001]}, False),
        ({"losses": LOSSES[:2]}, False),
        ({"measure": 2.0}, False),  # another measure of the same training: what was changed is the measuring
        ({"grad_norm": 1.0}, False),
        ({"learning_rate": 1.0}, True),
    ],
)
def test_same_training(tmp_path: Path, second: dict[str, Any], same: bool) -> None:
    runs = {
        "a": {1: cell(tmp_path / "a1"), 2: cell(tmp_path / "a2")},
        "b": {1: cell(tmp_path / "b1"), 2: cell(tmp_path / "b2", **second)},
    }
    assert len(indistinct(runs)) == same


def test_one_cell_under_two_names_is_no_pair(tmp_path: Path) -> None:
    one = cell(tmp_path / "a1")
    assert indistinct({"a": {1: one}, "b": {1: one}, "c": {}}) == []


def test_a_seed_that_one_lacks_decides_nothing(tmp_path: Path) -> None:
    runs = {
        "a": {1: cell(tmp_path / "a1"), 2: cell(tmp_path / "a2", [9.0])},
        "b": {1: cell(tmp_path / "b1"), 3: cell(tmp_path / "b3", [8.0])},
        "c": {4: cell(tmp_path / "c4")},
    }
    [line] = indistinct(runs)
    assert line.startswith("a and b ")


def test_it_is_in_the_log_the_record_and_the_pages(files: Any, tmp_path: Path) -> None:  # noqa: F811
    lines: list[str] = []
    path = files(variants={"plain": {}, "same": {"weight_decay": 0.5}, "warm": {"learning_rate": 0.02}})
    assert run(ablation(path, tmp_path / "o"), lines.append, Trainer()) == 0
    out = tmp_path / "o" / "mine"
    [warning] = json.loads((out / STATE).read_text())["warnings"]
    assert warning.startswith("plain and same ") and f"warning: {warning}" in lines
    assert warning in (out / "ablation.md").read_text() and warning in (out / "ablation.html").read_text()
