"""A checkpoint brings back moments and the number of steps; everything that a recipe says comes from the recipe."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from transformers import get_scheduler

from kormo_plugins.errors import KormoError
from kormo_plugins.training.checkpoints.recipe_wins import RecipeSettings, obey_or_refuse, own_clipping, reading

from .harness import trainer

FOLDER = Path("checkpoint-2")
BASE: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def made(optimizer: dict[str, Any], schedule: str = "constant", steps: int = 4, warmup: int = 0, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    decayed, plain = [model.weight], [model.bias]
    groups = [{"params": decayed, "weight_decay": optimizer["weight_decay"]}, {"params": plain, "weight_decay": 0.0}]
    own = torch.optim.AdamW(groups, **{key: value for key, value in optimizer.items() if key != "weight_decay"})
    scheduler = get_scheduler(schedule, own, num_warmup_steps=warmup, num_training_steps=steps,
                              scheduler_specific_kwargs=kwargs)  # fmt: skip
    return model, own, scheduler


def train(model: Any, optimizer: Any, scheduler: LRScheduler, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(1, 3)).square().sum().backward()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def resumed(before: Any, now: Any) -> Any:
    """What Trainer does, with ours around it."""
    own = RecipeSettings.of(now[1].param_groups, now[2])
    with reading(FOLDER):
        now[1].load_state_dict(before[1].state_dict())
        now[2].load_state_dict(before[2].state_dict())
    own.restore(now[1], now[2], FOLDER)
    return now


@pytest.mark.parametrize(
    "changed",
    [{"lr": 1e-4}, {"betas": (0.8, 0.9)}, {"eps": 1e-6}, {"weight_decay": 0.5}, {"lr": 2e-3, "weight_decay": 0.01}],
    ids=str,
)
def test_settings_of_the_optimizer_are_the_recipes(changed: dict[str, Any]) -> None:
    before = made(BASE)
    train(*before, 2)
    now = resumed(before, made({**BASE, **changed}))
    first, second = now[1].param_groups
    assert {key: first[key] for key in BASE} == {**BASE, **changed}
    assert second["weight_decay"] == 0.0
    assert now[1].state[now[0].weight]["step"] == 2  # the state is the checkpoint's
    assert train(*now, 2) == [changed.get("lr", 1e-3)] * 2


SCHEDULES = [
    ("cosine", {}), ("linear", {}), ("constant_with_warmup", {}), ("cosine_with_restarts", {"num_cycles": 2}),
    ("polynomial", {"power": 2.0}), ("inverse_sqrt", {}), ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
    ("warmup_stable_decay", {"num_decay_steps": 3, "num_stable_steps": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "kwargs"), SCHEDULES)
@pytest.mark.parametrize("at", [2, 6])
def test_a_schedule_goes_on_as_if_it_had_always_been_the_recipes(
    schedule: str, kwargs: dict[str, Any], at: int
) -> None:
    """After a change of length, warm-up and rate, step n has the rate that step n has in a run begun that way."""
    before = made(BASE, "cosine", steps=6)
    train(*before, at)
    other = {**BASE, "lr": 5e-4}
    expected = train(*made(other, schedule, steps=12, warmup=1, **kwargs), 12)
    assert train(*resumed(before, made(other, schedule, steps=12, warmup=1, **kwargs)), 12 - at) == pytest.approx(
        expected[at:]
    )


def test_a_finished_cosine_that_is_made_longer_does_not_take_a_step_at_zero() -> None:
    before = made(BASE, "cosine", steps=4)
    train(*before, 4)
    assert before[1].param_groups[0]["lr"] == pytest.approx(0.0)
    rates = train(*resumed(before, made(BASE, "cosine", steps=8)), 4)
    assert rates[0] == pytest.approx(1e-3 * 0.5 * (1 + math.cos(math.pi * 4 / 8)))


def test_nothing_changes_where_the_recipe_did_not() -> None:
    straight = made(BASE, "cosine", steps=8, warmup=2)
    train(*straight, 8)
    before = made(BASE, "cosine", steps=8, warmup=2)
    train(*before, 3)
    now = made(BASE, "cosine", steps=8, warmup=2)
    now[0].load_state_dict(before[0].state_dict())
    train(*resumed(before, now), 5)
    assert torch.equal(now[0].weight, straight[0].weight) and torch.equal(now[0].bias, straight[0].bias)


def test_the_bound_of_the_gradient_is_the_recipes_after_deepspeed_has_read_its_checkpoint() -> None:
    """With DeepSpeed itself: tests/integration/test_ranks.py, `test_changed_settings_hold_after_a_resume`."""
    engine = SimpleNamespace(optimizer=SimpleNamespace(clip_grad=0.05))
    with own_clipping(engine):
        engine.optimizer.clip_grad = 1.0
    assert engine.optimizer.clip_grad == 0.05
    with own_clipping(SimpleNamespace(optimizer=None)):
        pass


def test_a_rate_that_is_a_tensor_stays_one() -> None:
    before = made(BASE)
    train(*before, 1)
    now = made({**BASE, "lr": 1e-4})
    own = RecipeSettings.of(now[1].param_groups, now[2])
    now[2].load_state_dict(before[2].state_dict())
    for group in now[1].param_groups:
        group["lr"] = torch.tensor(1.0)
    own = RecipeSettings(tuple({**g, "lr": torch.tensor(1.0)} for g in own.groups), own.schedule, own.closed_form)
    own.restore(now[1], now[2], FOLDER)
    assert now[1].param_groups[0]["lr"].item() == pytest.approx(1e-4)


@pytest.mark.parametrize(("changed", "named"), [({"max_lr": 2e-3}, "base_lrs"), ({"total_steps": 20}, "total_steps")])
def test_a_schedule_that_keeps_its_settings_is_refused_with_others(changed: dict[str, Any], named: str) -> None:
    def one_cycle(**kwargs: Any) -> Any:
        model, optimizer, _ = made(BASE)
        for group in optimizer.param_groups:
            del group["initial_lr"]
        return model, optimizer, OneCycleLR(optimizer, **{"max_lr": 1e-3, "total_steps": 10, **kwargs})

    before = one_cycle()
    train(*before, 3)
    with pytest.raises(KormoError) as error:
        resumed(before, one_cycle(**changed))
    assert named in error.value.found and "OneCycleLR" in error.value.found
    same = resumed(before, one_cycle())
    straight = one_cycle()
    assert train(*same, 4) == pytest.approx(train(*straight, 7)[3:])


def test_another_kind_of_schedule_is_refused() -> None:
    model, optimizer, _ = made(BASE)
    before = (model, optimizer, OneCycleLR(optimizer, max_lr=1e-2, total_steps=10))
    train(*before, 3)
    with pytest.raises(KormoError, match="another kind of schedule"):
        resumed(before, made(BASE, "linear", steps=10))
    for group in optimizer.param_groups:
        group.pop("initial_lr")
    with pytest.raises(KormoError, match="OneCycleLR with other settings"):
        resumed(made(BASE, "linear", steps=10), before)


def test_what_an_optimizer_counts_in_its_groups_stays_the_checkpoints() -> None:
    before, now = made(BASE), made({**BASE, "lr": 1e-4})
    before[1].param_groups[0]["k"], now[1].param_groups[0]["k"] = 7, 0
    assert resumed(before, now)[1].param_groups[0]["k"] == 7


def test_other_groups_are_told_by_the_keys_that_make_them() -> None:
    before, now = made(BASE), made(BASE)
    one_group = torch.optim.AdamW(now[0].parameters())
    with pytest.raises(KormoError, match=r"kormo\.decay") as error, reading(FOLDER):
        one_group.load_state_dict(before[1].state_dict())
    assert "parameter group" in error.value.found
    for other in (ValueError("x"), KeyError("x")):
        with pytest.raises(type(other)), reading(FOLDER):
            raise other


def test_a_run_goes_on_at_the_rate_of_its_recipe(tmp_path: Path) -> None:
    first = trainer(4, 2, steps=2, out=str(tmp_path), save_strategy="steps", save_steps=2)
    first.train()
    again = trainer(4, 2, steps=4, out=str(tmp_path))
    again.args.learning_rate, again.args.weight_decay, again.args.adam_beta2 = 1e-3, 0.3, 0.95
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    rates = {line["step"]: line["learning_rate"] for line in again.state.log_history if "learning_rate" in line}
    assert rates == {1: 1e-2, 2: 1e-2, 3: 1e-3, 4: 1e-3}
    group = again.optimizer.param_groups[0]
    assert (group["weight_decay"], group["betas"]) == (0.3, (0.9, 0.95))
    assert all(state["step"] == 4 for state in again.optimizer.state.values())


def test_a_trainer_that_is_not_ours_refuses_what_it_would_drop(tmp_path: Path) -> None:
    args = trainer(4, 2, out=str(tmp_path)).args
    args.learning_rate, args.weight_decay = BASE["lr"], BASE["weight_decay"]
    args.adam_beta1, args.adam_beta2 = BASE["betas"]
    args.adam_epsilon = BASE["eps"]
    finished = made(BASE, "cosine", steps=4)
    train(*finished, 4)
    longer = made(BASE, "cosine", steps=8)
    longer[1].load_state_dict(finished[1].state_dict())
    longer[2].load_state_dict(finished[2].state_dict())
    obey_or_refuse(args, longer[1], longer[2], FOLDER)
    assert longer[1].param_groups[0]["lr"] == pytest.approx(0.5e-3)
    bounded = SimpleNamespace(param_groups=longer[1].param_groups, optimizer=SimpleNamespace(clip_grad=0.3))
    with pytest.raises(KormoError, match=r"max_grad_norm: 0\.3 in the checkpoint, 1\.0 in the recipe"):
        obey_or_refuse(args, bounded, longer[2], FOLDER)  # type: ignore[arg-type]
    for key, value in (("learning_rate", 1e-5), ("weight_decay", 0.9), ("adam_beta2", 0.5), ("adam_epsilon", 1e-3)):
        before = getattr(args, key)
        setattr(args, key, value)
        with pytest.raises(KormoError, match="in the checkpoint"):
            obey_or_refuse(args, longer[1], longer[2], FOLDER)
        setattr(args, key, before)
