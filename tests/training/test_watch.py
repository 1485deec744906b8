"""A loss that is of no use ends the run: on every rank, before the update, with the documents named."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from kormo_plugins.errors import KormoError
from kormo_plugins.store.complete import fault
from kormo_plugins.training.guards.loss_guard import LossSpikeGuard, with_losses
from kormo_plugins.training.guards.row_losses import per_row_loss
from kormo_plugins.training.objective import next_token
from kormo_plugins.training.settings import Spike, StopOn

from .harness import trainer


def described(step: int) -> dict[str, Any]:
    """A batch in the words of `mixture/report.py`."""
    samples = [
        {"index": 8 * step + i, "source": "ko" if i % 2 else "en", "row": i, "epoch": 0,
         "documents": [{"id": f"doc-{step}-{i}-{j}", "start": 0, "end": 9} for j in range(2)]}
        for i in range(8)
    ]  # fmt: skip
    return {"step": step, "rank": 0, "world_size": 1, "samples": samples}


def watched(out: Path, harm: Any, **stop_on: Any) -> Any:
    """A trainer whose objective's loss goes through `harm(loss, step)`."""
    made = trainer(4, 2, steps=12, out=str(out), save_strategy="steps", save_steps=4)
    made.weights = []

    def objective(model: Any, inputs: Any, items: Any, params: Any) -> Any:
        if not made.weights or made.weights[-1][0] != made.state.global_step:
            made.weights.append((made.state.global_step, [p.detach().clone() for p in model.parameters()]))
        loss, outputs = next_token(model, inputs, items, params)
        return harm(loss, made.state.global_step), outputs

    settings = dataclasses.replace(made.kormo, stop_on=StopOn(**stop_on), batch=described)
    made.configure(settings, objective, made._stop)
    return made


def alone(made: Any, index: int) -> float:
    """Loss of one sample by itself."""
    row = made.train_dataset[index]
    with torch.no_grad():
        return float(made.model(input_ids=row["input_ids"][None], labels=row["labels"][None]).loss)


def test_nan_stops_before_the_update_and_names_the_batch(tmp_path: Path) -> None:
    made = watched(tmp_path, lambda loss, step: loss * (math.nan if step == 6 else 1.0))
    with pytest.raises(KormoError) as caught:
        made.train()
    error = caught.value
    assert error.where == f"{tmp_path}: step 7 of 12"
    assert error.found.startswith("loss nan, gradient norm nan; its batch has 4 rows of ")
    assert "4 rows of ko (doc-6-" in error.found and "4 rows of en (doc-6-" in error.found
    assert error.found.endswith("and 5 more), those of the highest loss first")
    assert "the last good one is checkpoint-4" in error.why
    assert f"kormo data batch {tmp_path}/recipe.yml --step 6 --text" in error.do
    report = json.loads((tmp_path / "stopped.json").read_text())
    assert report["step"] == 6 and report["loss"] == "nan"
    rows = {sample["index"]: sample.pop("loss") for sample in report["batch"]["samples"]}
    assert sorted(report["batch"]["samples"], key=lambda sample: sample["index"]) == described(6)["samples"]
    assert list(rows.values()) == sorted(rows.values(), reverse=True)
    assert rows == pytest.approx({48 + i: alone(made, 48 + i) for i in range(8)}, rel=1e-5)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-4"]
    assert fault(tmp_path / "checkpoint-4") is None
    step, before = made.weights[-1]
    assert step == 6
    assert all(torch.equal(p, q) for p, q in zip(made.model.parameters(), before, strict=True))


def test_a_gradient_that_is_nan_stops_although_the_loss_is_sound(tmp_path: Path) -> None:
    class Poison(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> Any:
            return grads[0] * math.nan

    made = watched(tmp_path, lambda loss, step: Poison.apply(loss) if step == 3 else loss)
    with pytest.raises(KormoError, match=r"step 4 of 12: loss \d.*, gradient norm nan") as caught:
        made.train()
    assert caught.value.why.endswith("no checkpoint was written, and there is none from before")
    assert caught.value.do.endswith("the same command starts from the beginning")
    assert not list(tmp_path.glob("checkpoint-*"))


def test_a_loss_ten_times_as_high_stops(tmp_path: Path) -> None:
    made = watched(tmp_path, lambda loss, step: loss * (10 if step == 9 else 1), spike=Spike(window=8))
    with pytest.raises(KormoError, match=r"step 10 of 12: loss .*, 9\.\d times the mean of the last 8 steps"):
        made.train()


@pytest.mark.parametrize("stop_on", [{"spike": None}, {}])
def test_what_is_switched_off_or_too_early_does_not_stop(tmp_path: Path, stop_on: dict[str, Any]) -> None:
    """Of 128 steps half must have been seen before one can stand out."""
    made = watched(tmp_path, lambda loss, step: loss * (10 if step == 9 else 1), **stop_on)
    made.train()
    assert made.state.global_step == 12


def test_rows_without_a_loss_stay_in_their_order() -> None:
    batch = described(3)
    assert with_losses(batch, None) == batch
    ranked = with_losses(batch, [3.0, math.nan, 5.0, 1.0, 2.0, math.inf, 0.5, 4.0])["samples"]
    assert [sample["index"] - 24 for sample in ranked] == [1, 5, 2, 7, 0, 4, 3, 6]


def test_weights_that_are_no_numbers_tell_no_row_from_another(tmp_path: Path) -> None:
    """DeepSpeed has made the update when a NaN is seen; the rows are then named without an order."""
    made = watched(tmp_path, lambda loss, step: loss)
    batches = [made.data_collator([made.train_dataset[i] for i in range(4)])]
    found = per_row_loss(made, made.meter.losses, batches)
    assert found == pytest.approx([alone(made, i) for i in range(4)], rel=1e-5)
    with torch.no_grad():
        made.model.lm_head.weight.fill_(math.nan)
    assert per_row_loss(made, made.meter.losses, batches) is None


def judged(losses: list[float], **spike: Any) -> list[int]:
    """Steps at which a watch would have stopped."""
    watch = LossSpikeGuard(StopOn(spike=Spike(**spike)))
    return [step for step, loss in enumerate(losses) if watch.judge(loss, 1.0) is not None]


def test_ordinary_training_does_not_stop() -> None:
    """A falling loss with noise, steps up where the mixture changes, and no variance at all."""
    for seed in range(20):
        dice = random.Random(seed)
        falling = [2 + 8 / (1 + step / 40) + dice.gauss(0, 0.15) for step in range(1000)]
        assert judged(falling) == []
        assert judged([loss * (1.25 if step > 600 else 1) for step, loss in enumerate(falling)]) == []
    assert judged([3.0] * 300 + [3.2] * 300) == []  # infinitely many deviations of nothing, and no damage


def test_both_conditions_are_needed() -> None:
    dice = random.Random(1)
    noisy = [max(0.2, dice.gauss(1.0, 0.4)) for _ in range(400)]  # small batches: single ones are high
    assert judged([*noisy, 2.2]) == [], "2.2 times the mean, but only 3 deviations"
    smooth = [2.0 + dice.gauss(0, 0.01) for _ in range(400)]
    assert judged([*smooth, 2.4]) == [], "40 deviations, but no damage"
    assert judged([*smooth, 3.4]) == [400]


def test_a_spike_is_not_remembered_as_ordinary() -> None:
    watch = LossSpikeGuard(StopOn(spike=Spike(window=16)))
    for _ in range(16):
        watch.judge(2.0, 1.0)
    assert all(watch.judge(9.0, 1.0) is not None for _ in range(40))


def test_a_resumed_run_knows_what_was_ordinary(tmp_path: Path) -> None:
    watched(tmp_path, lambda loss, step: loss, spike=Spike(window=8)).train()
    again = watched(tmp_path, lambda loss, step: loss * (10 if step == 8 else 1), spike=Spike(window=8))
    with pytest.raises(KormoError, match="step 9 of 12"):
        again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))


def test_infinity_counts_as_nan_and_can_be_allowed() -> None:
    assert LossSpikeGuard(StopOn()).judge(math.inf, 1.0) == "loss inf, gradient norm 1"
    assert LossSpikeGuard(StopOn(nan=False)).judge(math.inf, math.nan) is None
