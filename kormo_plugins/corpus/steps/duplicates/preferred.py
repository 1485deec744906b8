"""Selects which of several duplicates is kept: ranks as numbers, smallest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Literal

from kormo_plugins.documents.document import Document

if TYPE_CHECKING:
    import numpy as np

Preference = Literal["human", "synthetic", "newest", "longest"]
_LAST = 0xFFFFFFFF


def rank(document: Document, prefer: Sequence[Preference]) -> list[int]:
    """One number below 2³² per preference; a document without a date counts as the oldest."""
    return [_rank(document, preference) for preference in prefer]


def _rank(document: Document, preference: Preference) -> int:
    if preference == "human":
        return int(document.synthetic)
    if preference == "synthetic":
        return int(not document.synthetic)
    if preference == "longest":
        return _LAST - min(len(document.text), _LAST)
    try:
        return _LAST - date.fromisoformat(str(document.meta.get("date", ""))[:10]).toordinal()
    except ValueError:
        return _LAST


def keep_one(first: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """For each document the index of the kept copy.

    Args:
        first: for each document the index of the first one of its cluster; int64, shape [documents].
        ranks: shape [documents, preferences].
    """
    import numpy as np

    if not ranks.shape[1]:
        return first
    order = np.lexsort((np.arange(len(first)), *ranks.T[::-1], first))  # by cluster, then rank, then position
    clusters, starts = np.unique(first[order], return_index=True)
    best = np.empty(len(first), dtype=np.int64)
    best[clusters] = order[starts]
    return best[first]
