"""Versions and entry points of installed distributions, read without `importlib.metadata`.

Importing that module (it brings `email`, `zipfile` and `csv`) and reading every distribution with it takes longer than
all checks of a recipe. Here a folder of Python's path is listed once, and of each distribution only `entry_points.txt`
is opened. Where a distribution could be somewhere else (an archive on the path, an egg, a finder of its own), the
functions ask `importlib.metadata`, so that the answers are the same everywhere.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

METADATA = {"dist-info": "METADATA", "egg-info": "PKG-INFO"}
"""Ending of a distribution's folder -> its file of metadata."""


class Named(NamedTuple):
    """An entry point: who declares it, its group, its name, and the object that it names (`module:attribute`)."""

    distribution: str
    group: str
    name: str
    value: str


def entry_points(group: str) -> tuple[Named, ...]:
    """The entry points of a group, in the order of Python's path; of two distributions of one name the first counts."""
    if not _only_folders():
        import importlib.metadata

        found = importlib.metadata.entry_points(group=group)
        return tuple(
            Named(
                _normal(point.dist.name) if point.dist else "unknown", group, point.name, _without_extras(point.value)
            )
            for point in found
        )
    return tuple(point for point in _listed(tuple(sys.path)) if point.group == group)


def version(distribution: str) -> str | None:
    """The version of an installed distribution; None if it is not installed."""
    wanted = _normal(distribution)
    if _only_folders():
        for folder, name in _distributions(tuple(sys.path)):
            if name == wanted and (text := _text(f"{folder}/{METADATA[folder.rpartition('.')[2].lower()]}")):
                head = text.partition("\n\n")[0]  # a description follows
                if line := re.search(r"^Version:\s*(\S+)", head, re.MULTILINE | re.IGNORECASE):
                    return line[1]
        return None
    import importlib.metadata

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _only_folders() -> bool:
    """Whether every distribution that Python could find has a folder in a folder of its path."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    return all(finder is PathFinder or _is_the_backports(finder) for finder in finders) and not any(
        place.lower().endswith(".egg") or Path(place).is_file() for place in sys.path
    )


def _is_the_backports(finder: object) -> bool:
    """Whether a finder is that of the package `importlib_metadata`, which looks where Python's own does."""
    return getattr(finder, "__module__", "").partition(".")[0] == "importlib_metadata"


@lru_cache(maxsize=4)
def _listed(path: tuple[str, ...]) -> tuple[Named, ...]:
    """Every entry point of the distributions on a path."""
    found: list[Named] = []
    seen: set[str] = set()
    for folder, name in _distributions(path):
        if name in seen:
            continue
        seen.add(name)
        if text := _text(f"{folder}/entry_points.txt"):
            found += _parsed(text, name)
    return tuple(found)


@lru_cache(maxsize=4)
def _distributions(path: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The folders of metadata on a path, in its order, each with the name of its distribution.

    Text instead of `Path`: for hundreds of distributions the objects alone take milliseconds.
    """
    found: list[tuple[str, str]] = []
    for place in dict.fromkeys(path):
        try:
            names = os.listdir(place or ".")  # noqa: PTH208
        except OSError:
            continue
        for name in names:
            stem, _, ending = name.rpartition(".")
            if ending.lower() in METADATA:
                found.append((f"{place or '.'}/{name}", _normal(stem.partition("-")[0])))
    return tuple(found)


def _normal(name: str) -> str:
    """A distribution's name as in `importlib.metadata`: `My.Plugin` and `my-plugin` are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _text(file: str) -> str | None:
    try:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123
            return opened.read()
    except (OSError, UnicodeDecodeError):
        return None


def _parsed(text: str, distribution: str) -> Iterator[Named]:
    """The lines of `entry_points.txt`: `[group]`, and `name = value` below it."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield Named(distribution, group, name.strip(), _without_extras(value))


def _without_extras(value: str) -> str:
    """`module:attribute` of `module:attribute [extra]`."""
    return value.partition("[")[0].strip()
