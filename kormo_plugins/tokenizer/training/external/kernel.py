"""The compiled part: hash tables of pairs, and one pass of a batch of merges over a block of pieces.

A hash table is one array of cells, keys (0: empty) and amounts in turns, so that both are on one line of the cache; the
number of cells is a power of two, and the next cell is tried where one is taken. The key of a pair is `key(left,
right)`; keys order like pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.store.compiled.functions import njit

MERGED_LEFT, MERGED_RIGHT, WANTED_LEFT, WANTED_RIGHT = 1, 2, 4, 8
"""Bits of `flags`: the symbol is on that side of a pair that is merged, or of one whose neighbors are counted."""
EXACT = 1 << 12
"""Amounts below this have a bin of their own in `histogram`."""
BINS = EXACT + 64 * 16
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(20)


@njit()
def key(left: int, right: int) -> np.int64:
    """The key of a pair; never 0."""
    return ((np.int64(left) << 32) | np.int64(right)) + 1


@njit()
def slot(table: NDArray[np.int64], wanted: int | np.int64) -> np.int64:
    """The place of a key in a hash table, or the empty place where it belongs; its amount is behind it."""
    mask = np.uint64(len(table) // 2 - 1)
    cell = ((np.uint64(wanted) * _MULTIPLIER) >> _SHIFT) & mask
    place = np.int64(cell) * 2
    while table[place] != 0 and table[place] != wanted:
        place += 2
        if place == len(table):
            place = np.int64(0)
    return place


@njit()
def add(table: NDArray[np.int64], used: NDArray[np.int64], wanted: int | np.int64, amount: int, new: bool) -> None:
    """Adds an amount to a key; a key that is missing is inserted if `new`, else ignored."""
    place = slot(table, wanted)
    if table[place] == 0:
        if not new:
            return
        table[place] = wanted
        used[0] += 1
    table[place + 1] += amount


@njit()
def enter(wanted: NDArray[np.int64], table: NDArray[np.int64]) -> None:
    """Enters keys into an empty hash table, with their places in the list."""
    for number in range(len(wanted)):
        to = slot(table, wanted[number])
        table[to], table[to + 1] = wanted[number], number


@njit()
def copy(table: NDArray[np.int64], above: int, to: NDArray[np.int64]) -> int:
    """Copies the entries with an amount above `above` to an empty table; returns their number."""
    copied = 0
    for place in range(0, len(table), 2):
        if table[place] != 0 and table[place + 1] > above:
            empty = slot(to, table[place])
            to[empty], to[empty + 1] = table[place], table[place + 1]
            copied += 1
    return copied


@njit()
def bin_of(amount: int) -> int:
    """The bin of a positive amount; bins order like amounts."""
    if amount < EXACT:
        return amount
    bits = 0
    while amount >> bits >= 32:
        bits += 1
    return EXACT + bits * 16 + (amount >> bits) - 16


@njit()
def histogram(table: NDArray[np.int64], bins: NDArray[np.int64]) -> None:
    """Adds the number of entries with an amount in each bin; entries with an amount below 1 have none."""
    for place in range(0, len(table), 2):
        if table[place + 1] > 0:
            bins[bin_of(table[place + 1])] += 1


@njit()
def collect(
    table: NDArray[np.int64], first: int, last: int, keys: NDArray[np.int64], amounts: NDArray[np.int64]
) -> int:
    """Collects the entries with an amount from `first` to `last`; returns their number."""
    found = 0
    for place in range(0, len(table), 2):
        if first <= table[place + 1] <= last:
            keys[found], amounts[found] = table[place], table[place + 1]
            found += 1
    return found


@njit()
def count_pairs(
    symbols: NDArray[np.uint32],
    begins: NDArray[np.int64],
    counts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    longest: int,
    share: tuple[int, int],
    table: NDArray[np.int64],
    used: NDArray[np.int64],
) -> None:
    """Counts the pairs of pieces whose merge has at most `longest` bytes, of one share of the keys.

    Args:
        symbols: of all pieces; uint32.
        begins: of each piece in `symbols`, and the end of the last; int64 [pieces + 1].
        counts: occurrences of each piece.
        lengths: bytes of each symbol.
        longest: maximum bytes of a symbol.
        share: (number, shares): keys are divided into shares by their hash.
        table: of the pairs.
        used: number of entries of the table; int64 [1].
    """
    number, shares = np.uint64(share[0]), np.uint64(share[1])
    for piece in range(len(counts)):
        for place in range(begins[piece], begins[piece + 1] - 1):
            left, right = symbols[place], symbols[place + 1]
            if lengths[left] + lengths[right] <= longest:
                wanted = key(left, right)
                if (np.uint64(wanted) * _MULTIPLIER >> np.uint64(48)) % shares == number:
                    add(table, used, wanted, counts[piece], True)


@njit()
def advance(
    symbols: NDArray[np.uint32],
    begins: NDArray[np.int64],
    counts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    longest: int,
    flags: NDArray[np.uint8],
    batch: tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]],
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    wanted: NDArray[np.int64],
    contexts: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> tuple[int, bool]:
    """Applies a batch of merges to the pieces of a block, in place, and counts neighbors.

    Pieces of one symbol are removed, since nothing can be merged in them.

    Args:
        symbols: of all pieces; uint32, overwritten.
        begins: of each piece in `symbols`, and the end of the last; int64 [pieces + 1], overwritten.
        counts: occurrences of each piece; overwritten.
        lengths: bytes of each symbol.
        longest: maximum bytes of a symbol; longer pairs are not counted.
        flags: bits of each symbol.
        batch: a table of the merged pairs with their ranks, the new symbol of each rank, and the number of merged
            occurrences of each rank, which is added to.
        pairs: the table of all pairs, which is kept exact, and its number of entries.
        wanted: a table of the pairs whose neighbors are counted, with their indices.
        contexts: a table of neighbors and its number of entries; the key is (2 * index, symbol on the left) or (2 *
            index + 1, symbol on the right).

    Returns:
        The number of pieces left, and whether anything was merged.
    """
    size, pieces, any_changed = 0, 0, False
    for piece in range(len(counts)):
        begin, end, count = begins[piece], begins[piece + 1], counts[piece]
        found = _beside(symbols, begin, end, flags)
        if found & MERGED_RIGHT:
            after = _merge(symbols, begin, end, count, lengths, longest, flags, batch, pairs)
            if after != end:
                any_changed, end = True, after
                found = _beside(symbols, begin, end, flags)
        if end - begin < 2:
            continue
        if found & WANTED_RIGHT:
            _neighbors(symbols, begin, end, count, flags, wanted, contexts)
        if size < begin:
            for place in range(begin, end):
                symbols[size + place - begin] = symbols[place]
        begins[pieces], counts[pieces] = size, count
        size += end - begin
        pieces += 1
    begins[pieces] = size
    return pieces, any_changed


@njit()
def _beside(symbols: NDArray[np.uint32], begin: int, end: int, flags: NDArray[np.uint8]) -> np.uint8:
    """The bits MERGED_RIGHT and WANTED_RIGHT that some symbol has after one with the bit of the left side."""
    found, before = np.uint8(0), np.uint8(0)
    for place in range(begin, end):
        bits = flags[symbols[place]]
        found |= (before << 1) & bits
        before = bits
    return found


@njit()
def _neighbors(
    symbols: NDArray[np.uint32],
    begin: int,
    end: int,
    count: int,
    flags: NDArray[np.uint8],
    wanted: NDArray[np.int64],
    contexts: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    """Counts the symbols before and after each wanted pair of one piece."""
    for place in range(begin, end - 1):
        if flags[symbols[place]] & WANTED_LEFT and flags[symbols[place + 1]] & WANTED_RIGHT:
            found = slot(wanted, key(symbols[place], symbols[place + 1]))
            if wanted[found] != 0:
                index = 2 * wanted[found + 1]
                if place > begin:
                    add(contexts[0], contexts[1], key(index, symbols[place - 1]), count, True)
                if place + 2 < end:
                    add(contexts[0], contexts[1], key(index + 1, symbols[place + 2]), count, True)


@njit()
def _merge(
    symbols: NDArray[np.uint32],
    begin: int,
    end: int,
    count: int,
    lengths: NDArray[np.int64],
    longest: int,
    flags: NDArray[np.uint8],
    batch: tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]],
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> int:
    """Applies the batch to one piece, in place, by rank; returns its new end."""
    ranks = len(batch[1])
    while True:
        best = ranks
        for place in range(begin, end - 1):
            if flags[symbols[place]] & MERGED_LEFT and flags[symbols[place + 1]] & MERGED_RIGHT:
                found = slot(batch[0], key(symbols[place], symbols[place + 1]))
                if batch[0][found] != 0 and batch[0][found + 1] < best:
                    best = batch[0][found + 1]
                    left, right = symbols[place], symbols[place + 1]
        if best == ranks:
            return end
        made = batch[1][best]
        to = place = begin
        while place < end:
            if place + 1 < end and symbols[place] == left and symbols[place + 1] == right:
                batch[2][best] += count
                add(pairs[0], pairs[1], key(left, right), -count, False)
                if to > begin:
                    _exchange(symbols[to - 1], left, symbols[to - 1], made, count, lengths, longest, pairs)
                if place + 2 < end:
                    _exchange(right, symbols[place + 2], made, symbols[place + 2], count, lengths, longest, pairs)
                symbols[to] = made
                place += 2
            else:
                symbols[to] = symbols[place]
                place += 1
            to += 1
        end = to


@njit()
def _exchange(
    left: int,
    right: int,
    new_left: int,
    new_right: int,
    count: int,
    lengths: NDArray[np.int64],
    longest: int,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    """Takes away a pair and adds one with a new symbol, except those that are too long to be merged."""
    if lengths[left] + lengths[right] <= longest:
        add(pairs[0], pairs[1], key(left, right), -count, False)
    if lengths[new_left] + lengths[new_right] <= longest:
        add(pairs[0], pairs[1], key(new_left, new_right), count, True)
