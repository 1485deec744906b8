"""Which merges are certain, from exact counts of pairs and of their neighbors before the first of them.

The counts that a merge changes are kept as bounds. Merging `a b` to `z` makes of each `x a b` a pair `x z`, so many as
there are such triples, which is exact at first. It is uncertain where two merges of the batch meet (`x a b y` with both
`x a` and `b y` merged): then the number of quadruples is at least 0 and at most the smaller number of triples. A merge
is certain if its lower bound is above all other upper bounds; ties go to the pair with smaller ids, as in the library.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kormo_plugins.tokenizer.training.external.pair_table import Pair

Bounds = dict[int, tuple[int, int]]
"""Symbol beside a pair -> bounds of the number of occurrences with it."""


@dataclass(frozen=True)
class Merge:
    """A merge of two symbols.

    Args:
        pair: the symbols.
        symbol: what they become.
        least: lower bound of its occurrences.
        most: upper bound of its occurrences.
    """

    pair: Pair
    symbol: int
    least: int
    most: int


@dataclass
class _Met:
    """A merge of the batch with its neighbors at that time."""

    pair: Pair
    symbol: int
    before: Bounds
    after: Bounds


@dataclass
class Batch:
    """The merges that are certain, found one by one.

    Args:
        counts: exact counts of the pairs that are more frequent than all others.
        following: order (-count, pair) that all other pairs follow.
        neighbors: returns the counts of the symbols before and after a pair of `counts`.
        lengths: bytes of each symbol; `name` extends it.
        longest: maximum bytes of a symbol.
        least: minimum count of a pair that is merged.
        name: makes the symbol that a pair becomes.
    """

    counts: Mapping[Pair, int]
    following: tuple[int, Pair]
    neighbors: Callable[[Pair], tuple[dict[int, int], dict[int, int]]]
    lengths: list[int]
    longest: int
    least: int
    name: Callable[[Pair], int]
    merges: list[Merge] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._least, self._most = dict(self.counts), dict(self.counts)
        self._heap = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(self._heap)
        self._met: list[_Met] = []

    def fill(self, limit: int) -> list[Merge]:
        """Adds merges as long as they are certain, at most `limit`."""
        while len(self.merges) < limit:
            pair = self._next()
            if pair is None:
                break
            self.merges.append(Merge(pair, self.name(pair), self._least.pop(pair), self._most.pop(pair)))
            # Pairs in a run of one symbol overlap; the neighbors of a new pair are not known.
            if pair[0] == pair[1] or pair not in self.counts:
                break
            self._apply(self.merges[-1])
        return self.merges

    def upper(self) -> dict[Pair, int]:
        """Upper bounds of the pairs that are left."""
        return self._most

    def _next(self) -> Pair | None:
        """The most frequent pair, if that is certain."""
        pair = self._top()
        if pair is None:
            return None
        least, most = self._least[pair], self._most[pair]
        if least < max(1, self.least) or (-least, pair) >= self.following:
            return None
        heapq.heappop(self._heap)
        self._most[pair] = -1  # leaves the heap, for a look at the pair behind it
        other = self._top()
        self._most[pair] = most
        if other is not None and (-self._most[other], other) < (-least, pair):
            return None
        return pair

    def _top(self) -> Pair | None:
        """The pair with the largest upper bound; entries of the heap that do not hold any more are removed."""
        while self._heap:
            count, pair = self._heap[0]
            if self._most.get(pair) == -count:
                return pair
            heapq.heappop(self._heap)
        return None

    def _apply(self, merge: Merge) -> None:
        """Changes the bounds of the pairs that a merge changes."""
        (left, right), symbol = merge.pair, merge.symbol
        before, after = self._neighbors_now(merge)
        self._met.append(_Met(merge.pair, symbol, dict(before), dict(after)))
        # In `a b a b` both are merged: `b a` is counted before the one and after the other.
        least_before, most_before = before.pop(right, (0, 0))
        least_after, most_after = after.pop(left, (0, 0))
        if most_before or most_after:
            self._change((right, left), -most_before - most_after, -max(least_before, least_after))
            self._add((right, symbol), 0, most_before)
            self._add((symbol, left), 0, most_after)
            self._add((symbol, symbol), 0, min(most_before, most_after))
        for other, (least, most) in before.items():
            self._change((other, left), -most, -least)
            self._add((other, symbol), least, most)
        for other, (least, most) in after.items():
            self._change((right, other), -most, -least)
            self._add((symbol, other), least, most)

    def _neighbors_now(self, merge: Merge) -> tuple[Bounds, Bounds]:
        """The neighbors of a pair after the merges of the batch so far."""
        left, right = merge.pair
        before, after = (
            {symbol: (number, number) for symbol, number in side.items()} for side in self.neighbors(merge.pair)
        )
        for met in self._met:
            first, second = met.pair
            if right == first:  # the left one of the merged pair: `left first second` is `left symbol` now
                _lose(before, after.pop(second, (0, 0))[1])
            if left == second:
                _lose(after, before.pop(first, (0, 0))[1])
            _split(before, second, met.symbol, met.after.get(left, (0, 0))[1])
            _split(after, first, met.symbol, met.before.get(right, (0, 0))[1])
        return before, after

    def _change(self, pair: Pair, least: int, most: int) -> None:
        """Moves the bounds of a pair that may be merged."""
        if pair in self._least:
            self._least[pair] += least
            self._most[pair] += most
            heapq.heappush(self._heap, (-self._most[pair], pair))

    def _add(self, pair: Pair, least: int, most: int) -> None:
        """Adds a pair with a new symbol."""
        if most and self.lengths[pair[0]] + self.lengths[pair[1]] <= self.longest:
            self._least[pair], self._most[pair] = least, most
            heapq.heappush(self._heap, (-most, pair))


def _lose(neighbors: Bounds, most: int) -> None:
    """Up to `most` of the occurrences are gone; whose neighbors they were is not known."""
    for symbol, (least, upper) in neighbors.items():
        neighbors[symbol] = max(0, least - most), upper


def _split(neighbors: Bounds, symbol: int, new: int, most: int) -> None:
    """Up to `most` of the neighbors `symbol` have become `new`."""
    least, upper = neighbors.get(symbol, (0, 0))
    if most := min(upper, most):
        neighbors[symbol] = max(0, least - most), upper
        neighbors[new] = 0, most
