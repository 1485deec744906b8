"""Interfaces of cleaning steps, and the records of dropped documents.

A document step is a small class: constructed with its parameters, then called with one document at a time. It returns
the document, changed or not, or `Reject(reason)`. It depends on that document only, so it can run on any machine.

A source step (deduplication), which needs the whole source, has two methods instead: `sign` reduces a document to a
small array, in parallel; `decide` takes the arrays of the whole source, in source order, and returns which documents
are dropped. The texts are never gathered in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeGuard, runtime_checkable

from kormo_plugins.documents.document import Document
from kormo_plugins.hookspecs import DocumentStep, Params, SourceStep

if TYPE_CHECKING:
    import numpy as np


@dataclass(slots=True)
class Rejected:
    """A document (or an input that never became one) that was dropped, with the step and the reason."""

    document: Document
    reason: str
    step: str = "read"


@dataclass(frozen=True, slots=True)
class FileCount:
    """Counts for the rows of a file, or of a range of it.

    Args:
        name: the file's name relative to the input folder.
        documents: rows that became documents.
        rejects: reason -> rows that did not.
    """

    name: str
    documents: int
    rejects: Mapping[str, int]


Read = Iterator[Document | Rejected]
"""Items of a reader or a generator."""


Step = DocumentStep | SourceStep
"""What a component of kind `corpus_step` returns when it is called with its parameters."""


@dataclass(frozen=True)
class NamedStep:
    """A step that is not instantiated yet, so that it can be sent to the process that runs it."""

    name: str
    make: Callable[[Params], Step]
    params: Params


def is_source_step(make: object) -> TypeGuard[type[SourceStep]]:
    """Whether a step's class is a source step."""
    return isinstance(make, SourceStep)


class Ranking:
    """Base class of source steps that rank or sample the documents of their own source. They compare no documents, so
    other sources (`deduplicate_against`) do not affect them."""


def is_ranking(make: object) -> bool:
    """Whether a step's class is a `Ranking`."""
    return isinstance(make, type) and issubclass(make, Ranking)


class Clustering:
    """Base class of source steps that find duplicates and can return their clusters."""

    stays: np.ndarray
    """After `decide`: for each document the index of the kept document of its cluster; int64, shape [documents]."""

    @staticmethod
    def prefers(params: object) -> bool:
        """Whether the parameters rank copies, so that the kept copy may be in any source."""
        return False

    def first(self, signature: np.ndarray) -> np.ndarray:
        """The signature of a document of another source, changed so that no document of this source ranks before it."""
        return signature


def is_preferring(make: object, params: object) -> bool:
    """Whether a step ranks the duplicates it finds (`Clustering.prefers`)."""
    return isinstance(make, type) and issubclass(make, Clustering) and make.prefers(params)


class MetaUse(NamedTuple):
    """A key of `meta` that a step goes by.

    Args:
        parameter: the parameter that names it.
        key: the key.
        why: what the step does where no document has it, a clause.
        kind: types of a value that it can use.
        required: without it the step does nothing of what it is for, so that a build is refused.
    """

    parameter: str
    key: str
    why: str
    kind: tuple[type, ...] = (object,)
    required: bool = False


@runtime_checkable
class ReadsMeta(Protocol):
    """Parameters of a step that goes by keys of `meta`, which the reader keeps or an earlier step writes."""

    def reads(self) -> Sequence[MetaUse]:
        """The keys; one that no document has is told, or refused (`comparisons.py`, `meta_found.py`)."""


@runtime_checkable
class WritesMeta(Protocol):
    """Parameters of a step that writes keys of `meta`. Of a step that does not say so, it is not known."""

    def writes(self) -> Collection[str] | None:
        """The keys; None if that cannot be told."""
