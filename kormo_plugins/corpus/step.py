"""What a cleaning step is, and what becomes of a document that it drops.

A step is a small class: called with its parameters, then with one document at a time; it returns the document,
changed or not, or `Reject(reason)`. It sees nothing but that document, so a thousand machines agree.

A step that must see the whole source (deduplication) says so with two methods instead of a call: `sign` turns a
document into a few numbers, in parallel; `decide` looks at the numbers of the whole source, in source order, and
says which documents go. The texts themselves are never in one place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from kormo_plugins.documents.document import Document
from kormo_plugins.hookspecs import DocumentStep, SourceStep


@dataclass(slots=True)
class Rejected:
    """A document (or a line that never became one) kept aside, with who dropped it and why."""

    document: Document
    reason: str
    step: str = "read"


@dataclass(frozen=True, slots=True)
class FileCount:
    """What became of the rows of a file, or of a range of it.

    Args:
        name: the file's name below the folder that was asked for.
        documents: rows that became documents.
        rejects: reason -> rows that did not.
    """

    name: str
    documents: int
    rejects: Mapping[str, int]


Read = Iterator[Document | Rejected]
"""What a reader or a generator yields."""


Step = DocumentStep | SourceStep
"""What a component of the kind `corpus_step` makes when it is called with its parameters."""


def is_source_step(make: object) -> TypeGuard[type[SourceStep]]:
    """Whether a step's class is one that must see the whole source."""
    return isinstance(make, SourceStep)


class Ranking:
    """Base of source steps that rank or sample the documents of their own source: they compare none with another, so
    that what other sources have (`deduplicate_against`) is nothing to them."""


def is_ranking(make: object) -> bool:
    """Whether a step's class is a `Ranking`."""
    return isinstance(make, type) and issubclass(make, Ranking)


class Clustering:
    """Base of source steps that find copies, and can say of what each is one."""

    stays: np.ndarray
    """After `decide`: for each document the index of the one of its cluster that stays; int64, shape [documents]."""

    @staticmethod
    def prefers(params: object) -> bool:
        """Whether the parameters rank copies, so that the copy that stays may be of any source."""
        return False

    def first(self, signature: np.ndarray) -> np.ndarray:
        """The signature of a document of another source, that no document of this one goes before."""
        return signature


def is_preferring(make: object, params: object) -> bool:
    """Whether a step ranks the copies that it finds (`Clustering.prefers`)."""
    return isinstance(make, type) and issubclass(make, Clustering) and make.prefers(params)
