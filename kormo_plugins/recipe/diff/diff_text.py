"""Formats the comparison of two recipes as text; `difference.py` computes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kormo_plugins.recipe.cost.learning_rate import landmarks, sparkline
from kormo_plugins.recipe.diff.difference import Difference
from kormo_plugins.recipe.load import Recipe

WIDTH = 60
ARROW = "→"


def text(found: Difference, a: Recipe, b: Recipe) -> Iterator[str]:
    """The lines of the comparison: changes, irrelevant changes, consequences."""
    if found.trains_the_same:
        yield f"{a.path} and {b.path} train the same" + (", and run differently:" if found.changed else ".")
    else:
        yield f"{a.path} {ARROW} {b.path}"
    yield from _pairs(found.changed)
    if found.apart:
        yield "differences that do not affect training:"
        yield from _pairs(found.apart)
    if found.changed:
        yield "consequences:"
        yield from _follows(found.consequences)
        yield from _curves(a, b, found)
    yield from (f"note: {note}" for note in found.notes)


def _pairs(pairs: dict[str, list[object]]) -> Iterator[str]:
    for key, (left, right) in pairs.items():
        if not _is_block(left) and not _is_block(right):
            yield f"    {key}: {_short(left)} {ARROW} {_short(right)}"
            continue
        before, after = ({} if side is None else dict(_leaves(key, side)) for side in (left, right))
        for name in [*before, *(name for name in after if name not in before)]:
            if name not in after:
                yield f"  - {name}: {_short(before[name])}"
            elif name not in before:
                yield f"  + {name}: {_short(after[name])}"
            elif before[name] != after[name]:
                yield f"    {name}: {_short(before[name])} {ARROW} {_short(after[name])}"


def _is_block(value: object) -> bool:
    """Whether a value has keys of its own: a mapping, or a list with one."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


def _leaves(key: str, value: object) -> Iterator[tuple[str, object]]:
    """The values in a block that are set, with the dotted key of each; the block itself if none is."""
    inner: dict[str, object] = {}
    if isinstance(value, dict):
        inner = {f"{key}.{name}": child for name, child in value.items() if child not in (None, [], {}, "")}
    elif isinstance(value, list) and _is_block(value):
        inner = {f"{key}[{place}]": child for place, child in enumerate(value)}
    for name, child in inner.items():
        yield from _leaves(name, child)
    if not inner:
        yield key, value


def _short(value: object) -> str:
    told = json.dumps(value, ensure_ascii=False, default=str)
    return told if len(told) <= WIDTH else told[: WIDTH - 1] + "…"


def _follows(consequences: dict[str, Any], indent: str = "    ") -> Iterator[str]:
    same = []
    for key, pair in consequences.items():
        if isinstance(pair, dict):
            if key != "learning_rate" and any(one != other for one, other in pair.values()):
                yield f"{indent}{key}:"
                yield from _follows(pair, indent + "  ")
        elif pair[0] == pair[1]:
            same.append(key)
        else:
            yield f"{indent}{key}: {_number(pair[0])} {ARROW} {_number(pair[1])}"
    if same:
        yield f"{indent}the same: {', '.join(same)}"


def _number(value: object) -> str:
    if value is None:
        return "unknown" if value is None else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if value < 10**15 else f"{value:.3g}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _curves(a: Recipe, b: Recipe, found: Difference) -> Iterator[str]:
    """Both learning rates on one scale, the length of the longer run not shown."""
    marks = [landmarks(recipe) or {} for recipe in (a, b)]
    if marks[0] == marks[1]:
        return
    highest = max([value for mark in marks for value in mark.values()], default=0.0)
    yield f"    learning rate, {', '.join(marks[0] or marks[1])}:"
    for name, recipe, mark in zip("ab", (a, b), marks, strict=True):
        values = " ".join(f"{value:.3g}" for value in mark.values()) or "unknown for this schedule"
        yield f"      {name} {sparkline(recipe, highest)} {values}"
