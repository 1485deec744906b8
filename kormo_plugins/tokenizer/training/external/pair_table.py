"""Counts of pairs in memory of a fixed size.

A pair of existing symbols can only become rarer. Where the table is full, the rarest pairs are therefore dropped, and
`floor` is the largest count that a dropped pair can have. As long as the pairs that are merged are more frequent than
that, the others are not needed; when they are not, all pairs are counted again (`learn`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.tokenizer.training.external import kernel

Pair = tuple[int, int]
SLOT = 16
"""Bytes of a slot."""
FIRST = 1 << 18
"""Slots at the beginning."""
LARGEST = 2**63 - 1
"""The largest amount."""


def key_of(pair: Pair) -> int:
    """The key of a pair."""
    return (pair[0] << 32 | pair[1]) + 1


def pair_of(key: int) -> Pair:
    """The pair of a key."""
    return (key - 1) >> 32, (key - 1) & 0xFFFFFFFF


class PairTable:
    """A hash table of pairs that is at most half full."""

    def __init__(self, most: int = 1 << 62) -> None:
        """
        Args:
            most: maximum slots; it is exceeded only by what one block adds.
        """
        self.most, self.floor = most, 0
        self.clear()

    def clear(self) -> None:
        """Forgets all pairs."""
        self.table, self.used = np.zeros(2 * FIRST, np.int64), np.zeros(1, np.int64)

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The table and its number of entries, as the kernel takes them."""
        return self.table, self.used

    @property
    def slots(self) -> int:
        """Entries that there is room for."""
        return len(self.table) // 2

    def reserve(self, entries: int) -> None:
        """Makes room for that many more entries."""
        while 2 * (int(self.used[0]) + entries) > self.slots:
            self._rebuild(2 * self.slots, 0)

    def full(self) -> bool:
        """Whether the table has more slots than it should."""
        return self.slots > self.most

    def drop(self) -> None:
        """Drops the rarest pairs, so that the table is at most a quarter full at its maximum size."""
        bins = self._histogram()
        kept = np.cumsum(bins[::-1])[::-1]
        first = int(np.argmax(kept <= self.most // 4))
        self.floor = max(self.floor, _below(first))
        self._rebuild(max(FIRST, self.most), self.floor)

    def largest(self, number: int) -> tuple[dict[Pair, int], tuple[int, Pair]]:
        """The most frequent pairs, by count and then by ids, at least `number` if there are so many.

        Returns:
            Counts by pair, in that order; and the order (-count, pair) that all other pairs follow.
        """
        bins = self._histogram()
        kept = np.cumsum(bins[::-1])[::-1]
        first = max(1, int(np.flatnonzero(kept >= min(number, kept[0]))[-1]) if kept[0] else 1)
        above = _below(first + 1)
        keys, amounts = self._collect(above + 1, LARGEST, int(kept[first + 1]))
        tied_keys, tied_amounts = self._collect(_below(first) + 1, above, int(bins[first]))
        needed, following = max(0, number - len(keys)), (-self.floor, (0, 0))
        if first < kernel.EXACT and needed < len(tied_keys):
            chosen = np.argpartition(tied_keys, needed)[: needed + 1]
            tied_keys, tied_amounts = tied_keys[chosen], tied_amounts[chosen]
            following = min(following, (-first, pair_of(int(tied_keys.max()))))
        elif first > 1:
            following = min(following, (-_below(first), (0, 0)))
        keys, amounts = np.append(keys, tied_keys), np.append(amounts, tied_amounts)
        order = np.lexsort((keys, -amounts))
        found = {
            pair_of(key): amount for key, amount in zip(keys[order].tolist(), amounts[order].tolist(), strict=True)
        }
        return {pair: amount for pair, amount in found.items() if (-amount, pair) < following}, following

    def _histogram(self) -> NDArray[np.int64]:
        bins = np.zeros(kernel.BINS + 1, np.int64)
        kernel.histogram(self.table, bins)
        return bins

    def _collect(self, first: int, last: int, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        keys, amounts = np.empty(number, np.int64), np.empty(number, np.int64)
        kernel.collect(self.table, first, last, keys, amounts)
        return keys, amounts

    def _rebuild(self, slots: int, above: int) -> None:
        table = np.zeros(2 * slots, np.int64)
        self.used[0] = kernel.copy(self.table, above, table)
        self.table = table


def _below(number: int) -> int:
    """The largest amount below the bin."""
    if number <= kernel.EXACT:
        return number - 1
    bits, rest = divmod(number - kernel.EXACT, 16)
    return max(kernel.EXACT, (16 + rest) << bits) - 1
