"""How documents become rows: which stretch of which document lies in which row.

A policy is a pure function of the token counts of documents. It never sees tokens, so no policy can lose one
without its numbers showing it: `rows.build_rows` counts every token in, placed and dropped.

`best_fit` is best-fit-decreasing bin packing: the longest piece first, each into the fullest row that still
takes it (Ding et al. 2024, "Fewer Truncations Improve Language Modeling", arXiv 2404.10830). A document is
cut only if it is longer than a row, into whole rows and one rest. Rows wait in one list per free capacity and
a bit set says which lists are not empty, so each piece costs a few operations, whatever the number of rows.
Equal lengths keep their order and rows are opened in turn: the result depends on nothing but the lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.mixture import kernels
from kormo_plugins.mixture.params import BestFitParams, ConcatParams, PadParams

CARRIED_SHARE = 4
"""At most one piece in so many of a window is carried over to the next."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Rows, each a run of pieces.

    Args:
        rows: int64 [rows + 1], where the pieces of each row begin in the three arrays below.
        document: int64 [pieces], index into the lengths that were packed.
        start: int64 [pieces], first token of the piece within that document.
        end: int64 [pieces], one past its last token.
        closed: leading rows that are final. The pieces of the others are packed again with the documents that
            follow, if any follow.
        dropped: tokens of the documents given that lie in no piece, because a parameter says so.
        drop_tail: leave out the rows that are still open when no documents follow.
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
    """Documents cut into pieces of at most a row: document, start, end (int64 [pieces]), tokens dropped.

    A document of n tokens gives ceil(n / row_length) pieces, all but the last one a whole row; one of none
    gives none.
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
    """Best-fit decreasing; rows come fullest first, and those that are not full stay open.

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
    """The stream of all documents, cut every `row_length` tokens; only the last row can stay open."""
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
    """One piece per row, in the order of the documents; what remains of a row is padding."""
    document, start, end, dropped = cut(np.asarray(lengths, np.int64), row_length, params.longer)
    return Packing(np.arange(len(document) + 1, dtype=np.int64), document, start, end, len(document), dropped)


def fill(packing: Packing, row_length: int) -> float:
    """Share of the rows' places that hold a token."""
    count = len(packing.rows) - 1
    return float((packing.end - packing.start).sum() / (count * row_length)) if count else 1.0
