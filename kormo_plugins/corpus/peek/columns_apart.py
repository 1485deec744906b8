"""Files of one kind that need different columns, such as texts and conversations in one folder: a source for each.

A file belongs to the first group whose columns it has: one that has more columns, or lacks one that is not read, needs
no source of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kormo_plugins.corpus.peek.findings import Look
from kormo_plugins.corpus.readers.files import FilesParams
from kormo_plugins.corpus.readers.find import Found
from kormo_plugins.corpus.readers.mapping import guess
from kormo_plugins.corpus.readers.mapping.columns import needed

NAMED = 3
"""Maximum names of files in a note."""


def groups(sample: Sequence[Found], values_of: Callable[[Found], Sequence[Mapping[str, object]]]) -> list[list[Found]]:
    """The files that one mapping of columns can read, together; a file without columns is in the first group.

    Args:
        sample: files of one kind.
        values_of: the first rows of a file.
    """
    made: list[tuple[set[str], list[Found]]] = []
    for file in sample:
        values = values_of(file)
        names = {name.partition(".")[0] for value in values for name in value}
        proposal = guess.guess(values) if values else {}
        fits = next((group for wanted, group in made if not values or not proposal or wanted <= names), None)
        if fits is not None:
            fits.append(file)
        else:
            wanted = needed(FilesParams.model_validate({"path": ".", "columns": proposal}).columns) if proposal else ()
            made.append(({name.partition(".")[0] for name in wanted}, [file]))
    return [group for _, group in made]


def placed(one: Look, group: Sequence[Found], same: Sequence[Found], count: int) -> Look:
    """A source of several that read files of one kind, restricted to its own files where its `path` can do that.

    Args:
        group: the inspected files that it is for.
        same: all files of that kind.
        count: number of these sources.
    """
    path = _only(group, same)
    if path is not None:
        return replace(one, reader={**one.reader, "path": str(path)})
    names = ", ".join(file.name for file in group[:NAMED]) + " …" * (len(group) > NAMED)
    note = (
        f"files of this kind need {count} different readers: move those of this one ({names}) into a folder of their "
        "own, or it reads the others too"
    )
    return replace(one, notes=(*one.notes, note))


def _only(group: Sequence[Found], same: Sequence[Found]) -> Path | None:
    """The path that holds the files of a group and no other of the kind: the file itself, or its folder."""
    if any(file.member is not None for file in group):
        return None
    if len(group) == 1:
        return group[0].path
    folders = {file.path.parent for file in group}
    folder = next(iter(folders))
    inside = [file for file in same if folder in file.path.parents]
    return folder if len(folders) == 1 and {id(file) for file in inside} <= {id(file) for file in group} else None
