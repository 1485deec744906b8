"""What is found out about a file or folder before a recipe is written for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kormo_plugins.documents.document import Document


@dataclass(frozen=True)
class Column:
    """A column of the inspected rows: its types, in how many rows it is filled, and its first value."""

    name: str
    kind: str
    filled: int
    example: object


@dataclass(frozen=True)
class Look:
    """Findings about the files of one kind, or of several kinds that one source can read.

    Args:
        kinds: kinds of files that the source reads.
        file: the one whose format was inspected.
        files: number of files inspected for encodings and columns.
        notes: findings on encoding, dialect and the location of rows.
        rows: number of inspected rows.
        columns: their columns; none for text files.
        reader: keys of the proposed `reader`.
        documents, rejects: result of reading these rows with it; rejects counted by reason.
    """

    kinds: tuple[str, ...]
    file: str
    files: int
    notes: tuple[str, ...]
    rows: int
    columns: tuple[Column, ...]
    reader: dict[str, object]
    documents: tuple[Document, ...] = ()
    rejects: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Looks:
    """Findings about a path.

    Args:
        kinds: number of files of each kind.
        faults: file name -> why it cannot be read.
        sources: one if a single source can read everything, otherwise one per kind of file, the most frequent first.
    """

    kinds: dict[str, int]
    faults: dict[str, str]
    sources: tuple[Look, ...]
