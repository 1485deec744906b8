"""On resume, the recipe decides: learning rate, weight decay, betas and schedule come from it, not from the checkpoint.

`Optimizer.load_state_dict` and `LRScheduler.load_state_dict` restore all saved settings, so that a changed recipe would
be silently ignored; and a finished cosine schedule that is lengthened would continue at the last rate of the shorter
one, which is zero. Here the settings are saved before the checkpoint is read, and restored afterwards; only the state
comes from the checkpoint: moments and the number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.errors import KormoError, in_words

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler
    from transformers import TrainingArguments

PROGRESS = frozenset(
    {
        "last_epoch",
        "_step_count",
        "_last_lr",
        "_get_lr_called_within_step",
        "_is_initial",
        "base_lrs",
        "lr_lambdas",
        "best",
        "num_bad_epochs",
        "cooldown_counter",
        "optimizer",
    }
)
"""Attributes of schedulers that are progress (or are compared separately); all others are settings."""

GROUP_SETTINGS = frozenset(
    {
        "lr",
        "initial_lr",
        "weight_decay",
        "betas",
        "beta1",
        "beta2",
        "beta3",
        "eps",
        "momentum",
        "dampening",
        "nesterov",
        "alpha",
        "amsgrad",
        "maximize",
    }
)
"""Keys of a parameter group that come from the recipe. Other entries may be state (schedule-free optimizers count steps
there) and come from the checkpoint; a recipe that changes `optimizer` or `optim_args` is refused before."""


@dataclass(frozen=True)
class RecipeSettings:
    """The settings of the recipe, from a newly created optimizer and scheduler.

    Args:
        groups: settings of each parameter group, parameters aside.
        schedule: settings of the scheduler.
        closed_form: whether the rate of any step follows from the step alone (`LambdaLR`).
    """

    groups: tuple[Mapping[str, object], ...]
    schedule: Mapping[str, object]
    closed_form: bool

    @classmethod
    def of(cls, groups: Sequence[Mapping[str, object]], scheduler: LRScheduler) -> RecipeSettings:
        """Copies the settings; call it before a checkpoint is read."""
        from torch.optim.lr_scheduler import LambdaLR

        own = tuple({key: value for key, value in group.items() if key != "params"} for group in groups)
        return cls(own, _settings(scheduler), isinstance(scheduler, LambdaLR))

    def restore(self, optimizer: Optimizer, scheduler: LRScheduler, checkpoint: Path) -> None:
        """Restores the settings; call it after a checkpoint was read.

        Raises:
            KormoError: the schedule has its settings in the checkpoint, and the recipe has different ones.
        """
        if not self.closed_form:
            self._refuse_other_schedule(scheduler, checkpoint)
        groups, wanted = optimizer.param_groups, set(GROUP_SETTINGS)
        if not self.closed_form:  # the rate is state: it was restored from the checkpoint
            wanted -= {"lr", "initial_lr", *(("momentum", "betas") if "total_steps" in self.schedule else ())}
        for group, own in zip(groups, self.groups, strict=True):
            group.update({key: value for key, value in own.items() if key in wanted})
        if not self.closed_form:
            return
        scheduler.base_lrs = [group["initial_lr"] for group in groups]
        set_rates(scheduler)

    def _refuse_other_schedule(self, scheduler: LRScheduler, checkpoint: Path) -> None:
        saved = _settings(scheduler)
        changed = [
            f"{key}: {saved.get(key)} in the checkpoint, {value} in the recipe"
            for key, value in self.schedule.items()
            if saved.get(key) != value
        ]
        if changed:
            raise KormoError(
                where=str(checkpoint),
                found=f"{type(scheduler).__name__} with other settings: {'; '.join(changed[:4])}",
                why="this schedule computes each rate from the one before, so it cannot be changed half-way",
                do="restore learning rate, length and schedule, use a schedule that can change (cosine, linear, "
                "constant, warmup_stable_decay), or start a new run with kormo.from_run",
            )


def set_rates(scheduler: LRScheduler) -> None:
    """Sets the rate of each group to that of the schedule for the next step.

    Args:
        scheduler: a `LambdaLR` whose `last_epoch` is that step.
    """
    from torch import Tensor
    from torch.optim.lr_scheduler import LambdaLR

    assert isinstance(scheduler, LambdaLR)
    rates = [
        base * scale(scheduler.last_epoch) for base, scale in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    ]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    scheduler._last_lr = list(rates)


@contextmanager
def own_clipping(engine: Any) -> Iterator[None]:
    """Preserves `max_grad_norm` while DeepSpeed reads a checkpoint, which restores it under ZeRO-1 and 2.

    Args:
        engine: DeepSpeed's engine, whose optimizer was created with the recipe's `max_grad_norm`.
    """
    optimizer = engine.optimizer
    own = clipping(optimizer)
    yield
    if own is not None:
        optimizer.clip_grad = own


def clipping(optimizer: object) -> float | None:
    """`max_grad_norm` of DeepSpeed's optimizer; None for other optimizers."""
    bound = getattr(getattr(optimizer, "optimizer", None), "clip_grad", getattr(optimizer, "clip_grad", None))
    return None if bound is None else float(bound)


def obey_or_refuse(args: TrainingArguments, optimizer: Optimizer, scheduler: LRScheduler, output_dir: Path) -> None:
    """For trainers that read checkpoints themselves: refuses restored settings that differ from the recipe's.

    Args:
        args: transformers' TrainingArguments.
        optimizer, scheduler: as the checkpoint left them.
    Raises:
        KormoError: a different learning rate, weight decay, betas or epsilon, or under DeepSpeed a different
            `max_grad_norm`.
    """
    from torch.optim.lr_scheduler import LambdaLR

    wanted = {
        "initial_lr": args.learning_rate,
        "weight_decay": args.weight_decay,
        "betas": (args.adam_beta1, args.adam_beta2),
        "eps": args.adam_epsilon,
    }
    changed = {
        f"{key}: {group[key]} in the checkpoint, {value} in the recipe"
        for group in optimizer.param_groups
        for key, value in wanted.items()
        if key in group and group[key] != value and not (key == "weight_decay" and group[key] == 0.0)
    }
    bound = clipping(optimizer)
    if bound is not None and bound != args.max_grad_norm:
        changed.add(f"max_grad_norm: {bound} in the checkpoint, {args.max_grad_norm} in the recipe")
    if changed:
        raise KormoError(
            where=str(output_dir),
            found="; ".join(sorted(changed)),
            why="this trainer restores these settings from the checkpoint and would ignore the recipe's",
            do="restore them, or start a new run (another output_dir) with kormo.from_run",
        )
    if isinstance(scheduler, LambdaLR):
        set_rates(scheduler)  # the length may have changed


@contextmanager
def reading(checkpoint: Path) -> Iterator[None]:
    """Converts errors of loading optimizer and scheduler to errors that name the keys of the recipe.

    Raises:
        KormoError: different parameter groups, or a different kind of schedule.
    """
    try:
        yield
    except ValueError as error:
        if "parameter group" not in str(error):
            raise
        raise KormoError(
            where=str(checkpoint),
            found=in_words(error),
            why="the recipe divides the parameters into other groups than the checkpoint (kormo.decay, "
            "weight_decay from or to 0, embedding_lr, lr_groups), so its moments cannot be assigned",
            do="restore these keys, or start a new run with kormo.from_run",
        ) from None
    except KeyError as error:
        if error.args != ("lr_lambdas",):
            raise
        raise KormoError(
            where=str(checkpoint),
            found="the state of another kind of schedule",
            why="lr_scheduler names a schedule that cannot read the state in the checkpoint",
            do="restore lr_scheduler, or start a new run with kormo.from_run",
        ) from None


def _settings(scheduler: LRScheduler) -> dict[str, object]:
    settings = {key: value for key, value in vars(scheduler).items() if key not in PROGRESS and not callable(value)}
    return {**settings, "base_lrs": list(getattr(scheduler, "base_lrs", ()))}
