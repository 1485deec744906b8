"""Checks keys that belong together: warm-up, schedule, saving, data loader, generation.

Axolotl checks some of these once everything is built, and passes others to transformers, which refuses or ignores them.
Here they are checked first. The rules yield every error that they find.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from kormo_plugins.errors import KormoError, Notice, closest
from kormo_plugins.recipe.checks.axolotl_keys.keys import shown
from kormo_plugins.recipe.checks.ranges import SAMPLING, number_of
from kormo_plugins.recipe.files.resolve import Resolved
from kormo_plugins.recipe.schema.axolotl import SchemaView

STRATEGIES = ("no", "steps", "epoch", "best")


def steps_of(recipe: Resolved) -> int | None:
    """Optimizer steps of the run, computed from the recipe; None if unknown or invalid."""
    steps = number_of(recipe.get("max_steps"))
    if steps is None:
        parts = [number_of(recipe.get(key)) for key in ("kormo.tokens", "kormo.global_batch", "sequence_len")]
        tokens, batch, length = parts
        if tokens is None or not batch or not length:
            return None
        steps = math.ceil(tokens / (batch * length)) if math.isfinite(tokens / (batch * length)) else None
    return int(steps) if steps is not None and math.isfinite(steps) and steps >= 1 else None


def warm_up(recipe: Resolved) -> Iterator[KormoError]:
    """One warm-up, no longer than the run."""
    steps, ratio, run = recipe.get("warmup_steps"), recipe.get("warmup_ratio"), steps_of(recipe)
    if steps and ratio:
        yield KormoError(
            where=recipe.where("warmup_steps"),
            found=f"warmup_steps: {steps} beside warmup_ratio: {ratio}",
            why="both set the length of the warm-up",
            do="set one of the two to null",
        )
    length = number_of(steps)
    if run is not None and length is not None and length > run:
        yield KormoError(
            where=recipe.where("warmup_steps"),
            found=f"warmup_steps: {steps} in a run of {run:,} steps",
            why="the run would never reach learning_rate",
            do=f"set less than {run:,} steps, or use warmup_ratio",
        )


def saving(recipe: Resolved) -> Iterator[KormoError]:
    """When checkpoints are written must be given once, and in a way that works."""
    strategy, steps = recipe.get("save_strategy"), recipe.get("save_steps")
    where, setting = recipe.where("save_strategy"), f"save_strategy: {shown(strategy)}"
    if strategy is None:
        return
    if strategy not in STRATEGIES:
        if strategy is False:
            do = 'put it in quotes: save_strategy: "no"'
        else:
            do = f"use one of: {', '.join(STRATEGIES)}"
        yield KormoError(where=where, found=setting, why="there is no such strategy", do=do)
    elif strategy in ("epoch", "best") and recipe.get("kormo.data") is not None:
        why = (
            "a mixture has no epochs"
            if strategy == "epoch"
            else "there is no evaluation loss to select the best checkpoint by"
        )
        yield KormoError(where=where, found=f"{setting} beside kormo.data", why=why, do="remove it, and set save_steps")
    elif steps and strategy != "steps":
        yield KormoError(
            where=where,
            found=f"{setting} beside save_steps: {steps}",
            why="Axolotl refuses the two together",
            do="set save_steps: null, or remove save_strategy",
        )
    elif strategy == "steps" and not steps:
        yield KormoError(
            where=where,
            found=f"{setting} without save_steps",
            why="the number of steps between two checkpoints is not set",
            do="set save_steps",
        )


def saving_steps(recipe: Resolved) -> Iterator[KormoError]:
    """`save_steps` is a number of steps, or a share of the run."""
    steps = recipe.get("save_steps")
    part = number_of(steps)
    if part is not None and part > 1 and math.isfinite(part) and not part.is_integer():
        yield KormoError(
            where=recipe.where("save_steps"),
            found=str(steps),
            why="a value above 1 is a number of steps, so it must be whole",
            do="give a whole number, or a share of the run below 1",
        )


def loader(recipe: Resolved) -> Iterator[KormoError]:
    """torch refuses to fetch ahead without workers."""
    if recipe.get("dataloader_prefetch_factor") is not None and not recipe.get("dataloader_num_workers"):
        yield KormoError(
            where=recipe.where("dataloader_prefetch_factor"),
            found=f"dataloader_prefetch_factor: {shown(recipe.get('dataloader_prefetch_factor'))} without workers",
            why="it is a number of batches per worker, and torch refuses it without workers",
            do="set dataloader_num_workers, or remove it",
        )


def generation(recipe: Resolved) -> Iterator[KormoError]:
    """Sampling settings of the saved model have an effect only with `do_sample: true`."""
    settings = recipe.get("kormo.generation")
    if not isinstance(settings, Mapping) or settings.get("do_sample"):
        return
    for key in settings:
        if key in SAMPLING and settings[key] is not None:
            yield KormoError(
                where=recipe.where(f"kormo.generation.{key}"),
                found=f"{key}: {shown(settings[key])} without do_sample: true",
                why="greedy decoding would ignore it",
                do=f"set do_sample: true, or remove {key}",
            )


def generation_keys(recipe: Resolved, view: SchemaView) -> Iterator[KormoError]:
    """`kormo.generation`: names that transformers' generation knows."""
    settings = recipe.get("kormo.generation")
    for key in settings if isinstance(settings, Mapping) and view.generation else ():
        if key not in view.generation:
            yield KormoError(
                where=recipe.where(f"kormo.generation.{key}"),
                found=f"the key {key!r}",
                why="generation in transformers has no such setting",
                do=closest(str(key), view.generation, "remove it"),
            )


def schedule_without_evaluation(recipe: Resolved) -> Iterator[KormoError]:
    """Schedules that follow an evaluation loss, where there is none."""
    schedule = recipe.get("lr_scheduler")
    if schedule in ("reduce_lr_on_plateau", "greedy") and recipe.get("kormo.data") is not None:
        yield KormoError(
            where=recipe.where("lr_scheduler"),
            found=f"lr_scheduler: {schedule} beside kormo.data",
            why="it follows an evaluation loss, and there is no evaluation dataset",
            do="use another schedule: warmup_stable_decay, cosine, linear, …",
        )


def schedule_arguments(recipe: Resolved, view: SchemaView) -> Iterator[KormoError]:
    """`lr_scheduler_kwargs`: the names and kinds that the schedule's function takes."""
    arguments, schedule = recipe.get("lr_scheduler_kwargs"), recipe.get("lr_scheduler") or "cosine"
    if not isinstance(arguments, Mapping) or not isinstance(schedule, str) or schedule not in view.schedules:
        return
    known = view.schedules[schedule]
    for name, value in arguments.items():
        where, setting = recipe.where(f"lr_scheduler_kwargs.{name}"), f"{name}: {shown(value)}"
        if value is None:  # removes an inherited argument
            continue
        if name not in known:
            yield KormoError(
                where=where,
                found=setting,
                why=f"the schedule {schedule} takes no such argument",
                do=closest(str(name), known, f"it takes: {', '.join(known)}" if known else "remove it"),
            )
        elif known[name] in ("integer", "number"):
            yield from _schedule_number(where, setting, value, known[name])


def _schedule_number(where: str, found: str, value: object, kind: str) -> Iterator[KormoError]:
    number = None if isinstance(value, str) else number_of(value)
    if number is None or not math.isfinite(number) or (kind == "integer" and not number.is_integer()):
        yield KormoError(where=where, found=found, why=f"the schedule expects {kind}", do="give a value of that kind")
    elif number < 0:
        yield KormoError(
            where=where,
            found=found,
            why="lengths and rates of a schedule cannot be negative",
            do="give a number of at least 0",
        )


def course(recipe: Resolved) -> Iterator[Notice]:
    """Warnings about keys that are allowed but probably unintended."""
    if recipe.get("kormo.data") is None:
        return
    if recipe.get("save_steps") is None and recipe.get("save_strategy") is None:
        yield Notice(
            where=recipe.where("save_steps"),
            found="neither save_steps nor save_strategy",
            why="no checkpoint is written before the end, so a killed run starts over",
            do="set save_steps",
        )
    run, decay = steps_of(recipe), number_of(recipe.get("lr_scheduler_kwargs.num_decay_steps"))
    if run is not None and decay is not None and decay > run:
        yield Notice(
            where=recipe.where("lr_scheduler_kwargs.num_decay_steps"),
            found=f"num_decay_steps: {decay:g} in a run of {run:,} steps",
            why="the learning rate decays from the first step on and starts below learning_rate",
            do="shorten it, unless this is a trial run",
        )
