"""Compiled inner loops of packing and of the schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from kormo_plugins.store.compiled.functions import njit

if TYPE_CHECKING:
    from llvmlite.ir import IRBuilder

SLACK = 1e-6
"""Rounding tolerance in rows: a share of rows this close to an integer counts as one."""


def _count_trailing_zeros(typing_context: object, word: object) -> object:
    """The machine instruction, which numba does not expose."""
    del typing_context, word

    def generate(context: object, builder: IRBuilder, signature: object, arguments: Any) -> object:
        """The LLVM code: `cttz`, a single instruction; undefined for zero."""
        del context, signature
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


_lowest_bit: Any = intrinsic(_count_trailing_zeros)
"""Index of the lowest set bit of a nonzero uint64."""


@njit()
def _next_set(bits: NDArray[np.uint64], summary: NDArray[np.uint64], start: int) -> int:
    """The smallest member >= start of a bit set, or -1; `summary` has a bit for each nonzero word."""
    word = start >> 6
    if word >= len(bits):
        return -1
    rest = bits[word] & (~np.uint64(0) << np.uint64(start & 63))
    if rest:
        return (word << 6) + _lowest_bit(rest)
    word += 1
    for place in range(word >> 6, len(summary)):
        rest = summary[place]
        if place == word >> 6:
            rest &= ~np.uint64(0) << np.uint64(word & 63)
        if rest:
            found = (place << 6) + _lowest_bit(rest)
            return (found << 6) + _lowest_bit(bits[found])
    return -1


@njit()
def _by_length(lengths: NDArray[np.int64], row_length: int) -> NDArray[np.int64]:
    """Indices of `lengths` (1..row_length), longest first; stable. A counting sort."""
    starts = np.zeros(row_length + 2, np.int64)
    for length in lengths:
        starts[row_length - length + 1] += 1
    for place in range(1, row_length + 2):
        starts[place] += starts[place - 1]
    order = np.empty(len(lengths), np.int64)
    for index in range(len(lengths)):
        key = row_length - lengths[index]
        order[starts[key]] = index
        starts[key] += 1
    return order


@njit()
def _assign(
    lengths: NDArray[np.int64], order: NDArray[np.int64], row_length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Row of each piece in `order`, and free capacity of each row; keeps one list of rows per free capacity."""
    head = np.full(row_length + 1, -1, np.int64)
    bits = np.zeros((row_length >> 6) + 1, np.uint64)
    summary = np.zeros((len(bits) >> 6) + 1, np.uint64)
    follower = np.empty(len(order), np.int64)
    row_of = np.empty(len(order), np.int64)
    free = np.empty(len(order), np.int64)
    rows = place = 0
    while place < len(order):
        length = lengths[order[place]]
        capacity = _next_set(bits, summary, length)
        if capacity < 0:
            row, capacity = rows, row_length
            rows += 1
        else:
            row = head[capacity]
            head[capacity] = follower[row]
            if head[capacity] < 0:
                word = capacity >> 6
                bits[word] &= ~(np.uint64(1) << np.uint64(capacity & 63))
                if not bits[word]:
                    summary[word >> 6] &= ~(np.uint64(1) << np.uint64(word & 63))
        left = capacity  # pieces of the same length continue to fill this row: no fuller one fits them
        while left >= length and place < len(order) and lengths[order[place]] == length:
            row_of[place] = row
            left -= length
            place += 1
        free[row] = left
        if left:
            follower[row], head[left] = head[left], row
            word = left >> 6
            bits[word] |= np.uint64(1) << np.uint64(left & 63)
            summary[word >> 6] |= np.uint64(1) << np.uint64(word & 63)
    return row_of, free[:rows], rows


@njit()
def best_fit_rows(
    lengths: NDArray[np.int64], row_length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Packs pieces of 1..row_length tokens, longest first, each into the fullest row where it fits.

    Returns:
        rows: int64 [rows + 1], start of each row's pieces in `order`.
        order: int64 [pieces], the pieces row by row.
        free: int64 [rows], free capacity of each row, ascending.
    """
    order = _by_length(lengths, row_length)
    row_of, free, rows = _assign(lengths, order, row_length)
    starts = np.zeros(row_length + 2, np.int64)  # rows sorted by free capacity, fullest first
    for left in free:
        starts[left + 1] += 1
    for place in range(1, row_length + 2):
        starts[place] += starts[place - 1]
    rank = np.empty(rows, np.int64)
    sorted_free = np.empty(rows, np.int64)
    for row in range(rows):
        rank[row] = starts[free[row]]
        sorted_free[rank[row]] = free[row]
        starts[free[row]] += 1
    begin = np.zeros(rows + 1, np.int64)
    for row in row_of:
        begin[rank[row] + 1] += 1
    for row in range(rows):
        begin[row + 1] += begin[row]
    cursor = begin[:-1].copy()
    packed = np.empty(len(order), np.int64)
    for place in range(len(order)):
        row = rank[row_of[place]]
        packed[cursor[row]] = order[place]
        cursor[row] += 1
    return begin, packed, sorted_free


@njit()
def advance(counts: NDArray[np.int64], rates: NDArray[np.float64], batch: int, step: int, steps: int) -> bool:
    """Advances `counts`, in place, from before `step` to before `step + steps`, earliest deadline first.

    Args:
        counts: int64 [sources]; zeros for step 0.
        rates: float64 [sources], summing to 1.
        batch: rows per step.
    Returns:
        Whether every step could be filled; always true for rates that sum to 1.
    """
    candidates = np.empty(len(rates), np.int64)
    deadlines = np.empty(len(rates), np.float64)
    for now in range(step + 1, step + steps + 1):
        missing = now * batch
        found = 0
        for source in range(len(rates)):
            target = rates[source] * now * batch
            counts[source] = max(counts[source], np.int64(np.floor(target + SLACK)))
            missing -= counts[source]
            if counts[source] < np.int64(np.ceil(target - SLACK)):
                deadline, place = (counts[source] + 1) / rates[source], found
                # Kept in order by insertion, which compiles in a tenth of the time of numba's `argsort`.
                while place and deadlines[place - 1] > deadline:
                    candidates[place], deadlines[place] = candidates[place - 1], deadlines[place - 1]
                    place -= 1
                candidates[place], deadlines[place] = source, deadline
                found += 1
        if missing < 0 or missing > found:
            return False
        for place in range(missing):
            counts[candidates[place]] += 1
    return True
