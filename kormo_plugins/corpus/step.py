"""What a cleaning step is, and what becomes of a document that it drops.

A step is a small class: called with its parameters, then with one document at a time; it returns the document,
changed or not, or `Reject(reason)`. It sees nothing but that document, so a thousand machines agree.

A step that must see the whole source (deduplication) says so with two methods instead of a call: `sign` turns a
document into a few numbers, in parallel; `decide` looks at the numbers of the whole source, in source order, and
says which documents go. The texts themselves are never in one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from kormo_plugins.documents.document import Document, Reject


@dataclass(slots=True)
class Rejected:
    """A document (or a line that never became one) kept aside, with who dropped it and why."""

    document: Document
    reason: str
    step: str = "read"


Read = Iterator[Document | Rejected]
"""What a reader or a generator yields."""


class DocumentStep(Protocol):
    """A step that looks at one document at a time."""

    VERSION: int
    """Raised when the same parameters would give another result."""

    def __call__(self, document: Document) -> Document | Reject: ...


class SourceStep(Protocol):
    """A step that looks at a whole source."""

    VERSION: int

    def sign(self, document: Document) -> Any:
        """One row of the source's table of signatures: an integer array of fixed shape and dtype."""

    def decide(self, signatures: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """The fate of every document.

        Args:
            signatures: shape [documents, …], in source order.
        Returns:
            for each document -1 (stays) or an index into the list of reasons; int8, shape [documents].
        """


class Ranking:
    """Base of source steps that rank or sample the documents of their own source: they compare none with another, so
    that what other sources have (`deduplicate_against`) is nothing to them."""


def is_ranking(make: object) -> bool:
    """Whether a step's class is a `Ranking`."""
    return isinstance(make, type) and issubclass(make, Ranking)


def is_source_step(make: Any) -> bool:
    """Whether a step's class is one that must see the whole source."""
    return hasattr(make, "sign") and hasattr(make, "decide")
