"""Packing policies: assign ranges of documents to rows.

A policy is a pure function of the documents' token counts. It never sees tokens, and `rows.build_rows` counts every
token in, placed and dropped, so no policy can lose tokens unnoticed.

`best_fit` is best-fit-decreasing bin packing: the longest piece first, each into the fullest row where it fits (Ding et
al. 2024, "Fewer Truncations Improve Language Modeling", arXiv 2404.10830). A document is cut only if it is longer than
a row, into whole rows and one remainder. Rows are kept in one list per free capacity, with a bit set of nonempty lists,
so each piece costs a few operations, whatever the number of rows. Equal lengths keep their order and rows are opened in
sequence: the result depends only on the lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.mixture import kernels
from kormo_plugins.mixture.params import BestFitParams, ConcatParams, PadParams

CARRIED_SHARE = 4
"""At most one piece in this many of a window is carried over to the next."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Rows, each a sequence of pieces.

    Args:
        rows: int64 [rows + 1], start of each row's pieces in the three arrays below.
        document: int64 [pieces], index into the lengths that were packed.
        start: int64 [pieces], first token of the piece within that document.
        end: int64 [pieces], one past its last token.
        closed: number of leading rows that are final. The pieces of the others are packed again with the documents that
            follow, if any.
        dropped: tokens of the given documents that are in no piece, because a parameter says so.
        drop_tail: drop the rows that are still open at the end of the source.
    """

    rows: NDArray[np.int64]
    document: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    closed: int
    dropped: int = 0
    drop_tail: bool = False


def cut(
    lengths: NDArray[np.int64], row_length: int, longer: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int]:
    """Cuts documents into pieces of at most a row: document, start, end (int64 [pieces]), tokens dropped.

    A document of n tokens gives ceil(n / row_length) pieces, all but the last of row length; an empty one gives none.
    """
    dropped = 0
    if longer == "drop":
        dropped = int(lengths[lengths > row_length].sum())
        lengths = np.where(lengths > row_length, 0, lengths)
    counts = -(-lengths // row_length)
    document = np.repeat(np.arange(len(lengths), dtype=np.int64), counts)
    first = np.cumsum(counts) - counts
    start = (np.arange(len(document), dtype=np.int64) - first[document]) * row_length
    return document, start, np.minimum(start + row_length, lengths[document]), dropped


def best_fit(lengths: NDArray[np.int64], row_length: int, params: BestFitParams) -> Packing:
    """Best-fit decreasing; rows are sorted fullest first, and those that are not full stay open.

    Args:
        lengths: tokens of each document, int64 [documents].
        row_length: tokens of a row.
    """
    document, start, end, dropped = cut(np.asarray(lengths, np.int64), row_length, params.longer)
    rows, order, free = kernels.best_fit_rows(end - start, row_length)
    full = int(np.searchsorted(free, 0, "right"))
    open_from = np.searchsorted(rows, len(order) - len(order) // CARRIED_SHARE, "left")
    closed = max(full, min(int(open_from), len(free)))
    return Packing(rows, document[order], start[order], end[order], closed, dropped)


def concat(lengths: NDArray[np.int64], row_length: int, params: ConcatParams) -> Packing:
    """The concatenation of all documents, cut every `row_length` tokens; only the last row can stay open."""
    lengths = np.asarray(lengths, np.int64)
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.union1d(np.arange(0, total + 1, row_length), np.concatenate([[0], ends, [total]])).astype(np.int64)
    begin, stop = cuts[:-1], cuts[1:]
    document = np.searchsorted(ends, begin, "right")
    rows = np.append(np.searchsorted(begin, np.arange(0, total, row_length)), len(begin)).astype(np.int64)
    before = (ends - lengths)[document] if len(document) else np.zeros(0, np.int64)
    return Packing(rows, document, begin - before, stop - before, total // row_length, 0, params.drop_tail)


def pad(lengths: NDArray[np.int64], row_length: int, params: PadParams) -> Packing:
    """One piece per row, in document order; the rest of a row is padding."""
    document, start, end, dropped = cut(np.asarray(lengths, np.int64), row_length, params.longer)
    return Packing(np.arange(len(document) + 1, dtype=np.int64), document, start, end, len(document), dropped)


def fill(packing: Packing, row_length: int) -> float:
    """Share of the rows' positions that hold a token."""
    count = len(packing.rows) - 1
    return float((packing.end - packing.start).sum() / (count * row_length)) if count else 1.0
