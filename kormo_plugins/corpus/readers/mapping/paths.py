"""Paths into a row: `text`, `meta.url`, `instances[0].output`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

_STEP = re.compile(r"(?:\.|^)([^.\[\]]+)|\[(-?\d+)\]")
Step = str | int


@lru_cache(maxsize=1024)
def steps(path: str) -> tuple[Step, ...]:
    """The keys and indices of a path; a string that is not a path is one key."""
    keys: list[Step] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            return (path,)
        keys.append(match[1] if match[1] is not None else int(match[2]))
        at = match.end()
    return tuple(keys) if keys and isinstance(keys[0], str) else (path,)


def root(path: str) -> str:
    """The column that a path starts from."""
    return str(steps(path)[0])


def lookup(row: Mapping[str, object], path: str) -> object:
    """The value at a path; None if there is none."""
    if path in row:
        return row[path]
    value: object = row
    for step in steps(path):
        if isinstance(step, int):
            value = value[step] if isinstance(value, list | tuple) and -len(value) <= step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
        if value is None:
            return None
    return value
