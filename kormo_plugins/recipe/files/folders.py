"""Locates a file that another file names: beside that file, or beside the target of a symbolic link."""

from __future__ import annotations

import os
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.shipped import is_shipped, located


def folders_of(path: Path) -> tuple[Path, ...]:
    """The folders in which the files named by a file are looked up: its own, and for a link that of its target."""
    beside, behind = path.parent, path.resolve().parent
    return (beside,) if beside.resolve() == behind else (beside, behind)


def exists(path: Path) -> bool:
    """Whether the file exists; False also for a name that no file system can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def beside(folders: tuple[Path, ...], name: str, where: str) -> Path:
    """The path of a named file in one of the folders, in the first if it exists in none; for `kormo:NAME` the shipped
    file.

    Raises:
        KormoError: nothing is shipped under that name, or there are different files beside a link and its target.
    """
    if is_shipped(name):
        return located(name, where)
    places = [Path(os.path.normpath(folder / name)) for folder in folders]
    there = [place for place in places if exists(place)]
    if len(there) > 1 and not there[0].samefile(there[1]):
        raise KormoError(
            where=where,
            found=f"{there[0]} and {there[1]}",
            why="the file that names it is a symbolic link, and there is such a file both beside the link and beside "
            "its target",
            do="name the file by its absolute path, or remove one of the two",
        )
    return there[0] if there else places[0]
