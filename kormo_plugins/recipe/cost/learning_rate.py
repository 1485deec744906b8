"""The learning rate of every step, from the recipe alone: the schedules of transformers and Axolotl as one function.

A rate is the peak times a factor that depends on the step: warm-up from 0 (`warmup_stable_decay`: from its
`min_lr_ratio`), then the named schedule. Unknown names give None rather than a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from kormo_plugins.recipe.load import Recipe

Rate = Callable[[int], float]
BARS = "▁▂▃▄▅▆▇█"
FALLBACK = 10_000
"""Time scale of `inverse_sqrt` without warm-up, in transformers."""


def learning_rate(recipe: Recipe) -> Rate | None:
    """Function from step (from 0) to learning rate; None if the length or the schedule is unknown."""
    steps, peak = recipe.steps, recipe.get("learning_rate")
    if steps is None or peak is None:
        return None
    warmup = warmup_steps(recipe, steps)
    name = str(recipe.get("lr_scheduler", "cosine"))
    options = schedule_options(recipe)
    if name == "cosine" and recipe.get("cosine_min_lr_ratio") is not None:
        if recipe.get("cosine_constant_lr_ratio") or recipe.get("lr_quadratic_warmup"):
            return None
        name, options = "cosine_with_min_lr", {"min_lr_rate": recipe.get("cosine_min_lr_ratio")}
    factor = _factor(name, options, float(peak), warmup, steps)
    return None if factor is None else lambda step: float(peak) * factor(step)


def schedule_options(recipe: Recipe) -> dict[str, object]:
    """`lr_scheduler_kwargs` without those that are null."""
    return {key: value for key, value in recipe.get("lr_scheduler_kwargs", {}).items() if value is not None}


def warmup_steps(recipe: Recipe, steps: int) -> int:
    """Warm-up steps as Axolotl counts them: by default 3% and at most 100, and never exactly one."""
    if recipe.get("warmup_steps") is not None:
        warmup = int(recipe.get("warmup_steps"))
    elif recipe.get("warmup_ratio") is not None:
        warmup = int(float(recipe.get("warmup_ratio")) * steps)
    else:
        warmup = min(int(0.03 * steps), 100)
    return 2 if warmup == 1 else warmup


def _factor(name: str, options: Mapping[str, Any], peak: float, warmup: int, steps: int) -> Rate | None:
    def warmed(after: Rate) -> Rate:
        """Rises linearly from 0 for `warmup` steps, then goes on as `after` says."""
        return lambda step: step / max(1, warmup) if step < warmup else after(step)

    def progress(step: int) -> float:
        """Share of the steps after the warm-up that are done, in [0, 1]."""
        return min(1.0, (step - warmup) / max(1, steps - warmup))

    if name == "constant":
        return lambda step: 1.0
    if name == "constant_with_warmup":
        return warmed(lambda step: 1.0)
    if name == "linear":
        return warmed(lambda step: 1 - progress(step))
    if name == "cosine" and not options:
        return warmed(lambda step: 0.5 * (1 + math.cos(math.pi * progress(step))))
    if name == "cosine_with_min_lr":
        low = float(options.get("min_lr_rate") or float(options.get("min_lr") or 0) / peak)
        return warmed(lambda step: low + (1 - low) * 0.5 * (1 + math.cos(math.pi * progress(step))))
    if name == "polynomial":
        end, power = float(options.get("lr_end", 1e-7)) / peak, float(options.get("power", 1.0))
        return warmed(lambda step: end + (1 - end) * (1 - progress(step)) ** power)
    if name == "inverse_sqrt":
        scale = int(options.get("timescale") or warmup or FALLBACK)
        return warmed(lambda step: math.sqrt(scale / max(1, step - warmup + scale)))
    if name == "warmup_stable_decay":
        return _stable(options, warmup, steps)
    return None


def _stable(options: Mapping[str, Any], warmup: int, steps: int) -> Rate | None:
    """Warm-up, full rate, decay over the last `num_decay_steps`."""
    low = float(options.get("min_lr_ratio", 0.0))
    decay = int(options.get("num_decay_steps", 0))
    start = warmup + int(options.get("num_stable_steps") or steps - warmup - decay)
    rise, fall = str(options.get("warmup_type", "linear")), str(options.get("decay_type", "cosine"))
    cycles = float(options.get("num_cycles", 0.5))
    ups: dict[str, Callable[[float], float]] = {
        "linear": lambda p: p,
        "cosine": lambda p: 0.5 * (1 - math.cos(math.pi * p)),
        "1-sqrt": lambda p: 1 - math.sqrt(1 - p),
    }
    downs: dict[str, Callable[[float], float]] = {
        "linear": lambda p: 1 - p,
        "cosine": lambda p: 0.5 * (1 + math.cos(2 * math.pi * cycles * p)),
        "1-sqrt": lambda p: 1 - math.sqrt(p),
    }
    if rise not in ups or fall not in downs:
        return None

    def factor(step: int) -> float:
        """transformers' `warmup_stable_decay`: a rise, a plateau at 1, and a fall to `low`."""
        if step < warmup:
            return low + (1 - low) * ups[rise](step / max(1, warmup))
        if step < start:
            return 1.0
        return low + (1 - low) * downs[fall]((step - start) / max(1, decay)) if step < start + decay else low

    return factor


def landmarks(recipe: Recipe) -> dict[str, float] | None:
    """The rate at the start, at the end of the warm-up, at 25, 50 and 75% of the run, and at its last step."""
    rate, steps = learning_rate(recipe), recipe.steps
    if rate is None or not steps:
        return None
    last = steps - 1
    places = {
        "start": 0,
        "warmup_end": min(warmup_steps(recipe, steps), last),
        "25%": steps // 4,
        "50%": steps // 2,
        "75%": 3 * steps // 4,
        "end": last,
    }
    return {name: rate(min(step, last)) for name, step in places.items()}


def sparkline(recipe: Recipe, highest: float, width: int = 40) -> str:
    """The curve as one line of text, full height at `highest`; empty if it is unknown."""
    rate, steps = learning_rate(recipe), recipe.steps
    if rate is None or not steps or highest <= 0:
        return ""
    points = [rate(min(steps - 1, column * steps // (width - 1))) for column in range(width)]
    return "".join(BARS[min(len(BARS) - 1, round(point / highest * (len(BARS) - 1)))] for point in points)
