"""Every predicted token of a global batch weighs the same, however the batch is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.forked import Server

from .harness import ranks, run


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """One micro-batch of 8: nothing to average over."""
    return run({"micro": 8, "accumulation": 1})


@pytest.mark.parametrize(("micro", "accumulation"), [(4, 2), (2, 4), (1, 8)])
def test_any_accumulation_is_the_same_step(whole: dict[str, Any], micro: int, accumulation: int) -> None:
    cut = run({"micro": micro, "accumulation": accumulation})
    assert cut["seen"][:32] == whole["seen"][:32]  # the loader may have fetched one batch ahead
    assert cut["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert cut["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)


def test_axolotl_alone_weighs_micro_batches(whole: dict[str, Any]) -> None:
    """The fault that is mended: without our trainer the same data give another gradient. Axolotl itself has mended it
    for one rank since 0.20 (it now looks at the model's loss function)."""
    from axolotl.core.trainers import base

    # The first step alone: Axolotl decays other parameters than we do.
    first = run({"micro": 1, "accumulation": 8, "ours": False, "steps": 1})["grad_norm"][0]
    if "model_loss_accepts_num_items_in_batch" in vars(base):
        assert first == pytest.approx(whole["grad_norm"][0], rel=1e-4)
    else:
        assert first != pytest.approx(whole["grad_norm"][0], rel=1e-2)


@pytest.mark.soak
def test_axolotl_alone_weighs_ranks(whole: dict[str, Any], tmp_path: Path, forks: Server) -> None:
    """Still a fault: Axolotl fixes `average_tokens_across_devices: false`, so a rank with few tokens weighs as much."""
    first, _ = ranks(2, {"micro": 2, "accumulation": 2, "ours": False}, tmp_path, forks)
    assert first["grad_norm"] != pytest.approx(whole["grad_norm"], rel=1e-2)  # decay makes less than 0.2% of it


def test_two_ranks_are_the_same_step(whole: dict[str, Any], tmp_path: Path, forks: Server) -> None:
    first, second = ranks(2, {"micro": 2, "accumulation": 2}, tmp_path, forks)
    per_step = 8
    for step in range(4):
        batch = range(step * per_step, (step + 1) * per_step)
        mine = [set(rank["seen"][step * 4 : step * 4 + 4]) for rank in (first, second)]
        assert not mine[0] & mine[1], "both ranks read the same rows"
        assert mine[0] | mine[1] == set(batch)
    assert first["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert first["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)
