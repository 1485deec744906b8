"""The symbols beside the pairs that may be merged next, as one pass has counted them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.tokenizer.training.external import kernel
from kormo_plugins.tokenizer.training.external.pair_table import Pair, key_of


class Neighbors:
    """Counts of the symbols before and after each of some pairs."""

    def __init__(self, pairs: list[Pair]) -> None:
        """
        Args:
            pairs: whose neighbors are counted.
        """
        self.index = {pair: number for number, pair in enumerate(pairs)}
        self.table = index_table(pairs)
        self._table, self._used = np.zeros(1 << 17, np.int64), np.zeros(1, np.int64)

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The table and its number of entries, as the kernel takes them."""
        return self._table, self._used

    def reserve(self, entries: int) -> None:
        """Makes room for that many more entries."""
        while 4 * (int(self._used[0]) + entries) > len(self._table):
            table = np.zeros(2 * len(self._table), np.int64)
            kernel.copy(self._table, 0, table)
            self._table = table

    def finish(self) -> None:
        """Sorts the counts, after which they can be read."""
        used = np.flatnonzero(self._table[::2])
        order = used[np.argsort(self._table[2 * used])]
        keys, self._amounts = self._table[2 * order] - 1, self._table[2 * order + 1]
        self._symbols = keys & 0xFFFFFFFF
        self._begins = np.searchsorted(keys >> 32, np.arange(2 * len(self.index) + 1))

    def __call__(self, pair: Pair) -> tuple[dict[int, int], dict[int, int]]:
        """Symbol -> count, before and after the pair."""
        place = 2 * self.index[pair]
        return self._side(place), self._side(place + 1)

    def _side(self, place: int) -> dict[int, int]:
        chosen = slice(self._begins[place], self._begins[place + 1])
        return dict(zip(self._symbols[chosen].tolist(), self._amounts[chosen].tolist(), strict=True))


def index_table(pairs: list[Pair]) -> NDArray[np.int64]:
    """A hash table of pairs and their places in the list."""
    table = np.zeros(2 << (4 * len(pairs) + 15).bit_length(), np.int64)
    kernel.enter(np.array([key_of(pair) for pair in pairs], np.int64), table)
    return table
