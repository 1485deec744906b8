"""Where the file lies that another file names: beside it, or beside what a link leads to."""

from __future__ import annotations

import os
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.shipped import is_shipped, located


def folders_of(path: Path) -> tuple[Path, ...]:
    """Where the files lie that a file names: beside it, and, of a link, beside the file that it leads to."""
    beside, behind = path.parent, path.resolve().parent
    return (beside,) if beside.resolve() == behind else (beside, behind)


def exists(path: Path) -> bool:
    """Whether there is a file; a name that no file system has is one that is not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def beside(folders: tuple[Path, ...], name: str, where: str) -> Path:
    """The file of a name in one of the folders, in the first if it is in none; for `kormo:NAME` the shipped one.

    Raises:
        KormoError: nothing is shipped under that name; or different files of it beside a link and its target.
    """
    if is_shipped(name):
        return located(name, where)
    places = [Path(os.path.normpath(folder / name)) for folder in folders]
    there = [place for place in places if exists(place)]
    if len(there) > 1 and not there[0].samefile(there[1]):
        raise KormoError(
            where=where,
            found=f"{there[0]} and {there[1]}",
            why="the file that names it is a link, and there is one beside the link and another beside its target",
            do="name the file by its whole path, or remove one of the two",
        )
    return there[0] if there else places[0]
