"""Checks the output folders of a recipe: that they can be folders, and are not inside its inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.resolve import Resolved

LONGEST_NAME = 255 - len(".tmp.00000000")
"""Maximum bytes of one name in a path, minus what a temporary name adds."""

LONGEST_PATH = 4096 - 256
"""Maximum bytes of a path, minus what the names inside a run's folder add."""


def written(recipe: Resolved) -> Iterator[tuple[str, Path]]:
    """Key and path of each output folder of a run."""
    for key, default in (("output_dir", None), ("kormo.workspace", "artifacts")):
        value = recipe.get(key)
        if isinstance(value, str) or (value is None and default):
            yield key, Path(value or str(default))


def bad_places(recipe: Resolved) -> Iterator[KormoError]:
    """An error for each output folder that is a file, has too long a name, or is inside an input."""
    inputs = dict(_inputs(recipe))
    for key, path in written(recipe):
        where = recipe.where(key)
        if (value := recipe.get(key)) is not None and not str(value).strip():
            yield KormoError(
                where=where,
                found=repr(value),
                why="it does not name a folder",
                do="name a folder, such as outputs/mine",
            )
            continue
        fault = not_a_folder(path, where)
        if fault is not None:
            yield fault
            continue
        inside = path.absolute()
        for source, read in inputs.items():
            if inside.is_relative_to(read) or (key == "output_dir" and read.is_relative_to(inside)):
                yield KormoError(
                    where=where,
                    found=f"{path}, with {source} read from {read}",
                    why="the output of the run would be among its input and would be read by the next run",
                    do="name a folder outside that of the documents",
                )
                break


def not_a_folder(path: Path, where: str) -> KormoError | None:
    """Why a path cannot be a folder; None if it can."""
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > LONGEST_NAME or len(os.fsencode(path.absolute())) > LONGEST_PATH:
        return KormoError(
            where=where,
            found=f"{str(path)[:80]}… ({len(str(path))} characters)",
            why="no file system allows a name that long",
            do="shorten it",
        )
    if "\0" in str(path):
        return KormoError(
            where=where,
            found=repr(str(path))[:80],
            why="a path cannot contain a NUL character",
            do="remove the NUL character",
        )
    for folder in (path, *path.parents):
        try:
            if folder.exists() and not folder.is_dir():
                return KormoError(
                    where=where,
                    found=f"{folder}, which is a file",
                    why="a folder is needed there",
                    do="name another folder, or move the file away",
                )
        except OSError as error:
            return KormoError(
                where=where,
                found=str(folder),
                why=f"it cannot be accessed: {error.strerror}",
                do="change its rights, or name another folder",
            )
    return None


def _inputs(recipe: Resolved) -> Iterator[tuple[str, Path]]:
    """Name of each source, and the absolute path that it is read from."""
    sources = recipe.get("kormo.data.sources")
    for name, source in sources.items() if isinstance(sources, Mapping) else ():
        reader = source.get("reader") if isinstance(source, Mapping) else None
        path = reader.get("path") if isinstance(reader, Mapping) else None
        if isinstance(path, str) and path:
            yield str(name), Path(path).absolute()
