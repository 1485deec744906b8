"""Merges of counted pieces that stay on disk, in passes.

No token is made of two different pairs, so every merge makes a new symbol: merges inside a token's text depend on
nothing outside, as long as none crosses its ends, and runs of one symbol are merged from the left.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kormo_plugins.console.progress import Progress
from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.layout import byte_symbols
from kormo_plugins.tokenizer.training.budget import EXTERNAL_BASE
from kormo_plugins.tokenizer.training.external import kernel
from kormo_plugins.tokenizer.training.external.batch import Batch, Merge
from kormo_plugins.tokenizer.training.external.neighbors import Neighbors, index_table
from kormo_plugins.tokenizer.training.external.pair_table import FIRST, Pair, PairTable
from kormo_plugins.tokenizer.training.external.piece_file import PieceFile
from kormo_plugins.tokenizer.training.piece_counts import Counted

SLOT_MEMORY = 64.0
"""Bytes of memory per slot of the table of pairs, while it is made larger."""
WANTED_FEWEST, WANTED_MOST = 64, 8192
"""Pairs whose neighbors are counted in a pass; three times as many as were merged in the last one, within these."""
RANKED_MORE = 512
"""Pairs that are ranked beside those whose neighbors were counted: the next wanted ones are chosen from them."""
SHARES_MOST = 1 << 14
"""Passes over all pieces for one count of all pairs, at most."""


def learn_merges(
    parts: Iterable[Counted], scratch: Path, *, vocab_size: int, longest: int, least: int, memory: float
) -> list[tuple[str, str]]:
    """The merges of counted pieces, in order.

    Args:
        parts: distinct pieces with their counts.
        scratch: an existing folder for the file of pieces, which needs 4 bytes per byte of text and 12 per piece.
        vocab_size: maximum symbols, with the 256 bytes.
        longest: maximum bytes of a symbol.
        least: minimum count of a pair that is merged.
        memory: bytes of memory that may be used; `budget.EXTERNAL_LEAST` at least.
    Raises:
        KormoError: the most frequent pairs alone do not fit in memory.
    """
    alphabet = sorted(byte_symbols())
    symbol_of = np.array([alphabet.index(symbol) for symbol in byte_symbols()], np.uint32)
    slots = max(4 * FIRST, 1 << int(max(1.0, (memory - EXTERNAL_BASE) / SLOT_MEMORY)).bit_length() - 1)
    with PieceFile(scratch / "pieces") as pieces:
        for part in parts:
            pieces.append(symbol_of[part.arena], part.begins, part.counts)
        return Learner(pieces, PairTable(slots), alphabet, vocab_size, longest, least).learn()


class Learner:
    """Learns merges from a file of pieces, which it changes."""

    def __init__(
        self, pieces: PieceFile, table: PairTable, alphabet: list[str], vocab_size: int, longest: int, least: int
    ) -> None:
        """
        Args:
            pieces: symbols of every piece: places in `alphabet`.
            table: where pairs are counted.
            alphabet: the text of each symbol.
            vocab_size: maximum symbols.
            longest: maximum length of a symbol.
            least: minimum count of a pair that is merged.
        """
        self._pieces, self._table = pieces, table
        self._texts, self._lengths = list(alphabet), [1] * len(alphabet)
        self._vocab_size, self._longest, self._least = vocab_size, longest, least
        self.passes = 0

    def learn(self) -> list[tuple[str, str]]:
        """The merges, in order, as texts."""
        merges: list[tuple[str, str]] = []
        batch: list[Merge] = []
        self._count_all()
        wanted = list(self._table.largest(WANTED_FEWEST)[0])
        with Progress("tokenizer: learning", self._vocab_size - len(self._texts), "merges") as progress:
            while len(self._texts) < self._vocab_size:
                neighbors = self._advance(batch, wanted)
                ranked, following = self._ranked(len(wanted) + RANKED_MORE)
                batch, upper = self._next(neighbors, ranked, following)
                if not batch and (not ranked or next(iter(ranked.values())) < max(1, self._least)):
                    break
                merges += [(self._texts[merge.pair[0]], self._texts[merge.pair[1]]) for merge in batch]
                number = min(WANTED_MOST, max(WANTED_FEWEST, 3 * len(batch)))
                bounds = ranked | upper
                for merge in batch:
                    bounds.pop(merge.pair, None)
                wanted = sorted(bounds, key=lambda pair: (-bounds[pair], pair))[:number]
                progress(len(batch))
        return merges

    def _name(self, pair: Pair) -> int:
        """The symbol that a pair becomes."""
        self._texts.append(self._texts[pair[0]] + self._texts[pair[1]])
        self._lengths.append(self._lengths[pair[0]] + self._lengths[pair[1]])
        return len(self._texts) - 1

    def _next(
        self, neighbors: Neighbors, ranked: dict[Pair, int], following: tuple[int, Pair]
    ) -> tuple[list[Merge], dict[Pair, int]]:
        """The next merges, and upper bounds of the pairs that they change."""
        certain: dict[Pair, int] = {}
        for pair, count in ranked.items():
            if pair not in neighbors.index:
                following = (-count, pair)
                break
            certain[pair] = count
        batch = Batch(certain, following, neighbors, self._lengths, self._longest, self._least, self._name)
        return batch.fill(self._vocab_size - len(self._texts)), batch.upper()

    def _ranked(self, number: int) -> tuple[dict[Pair, int], tuple[int, Pair]]:
        """The most frequent pairs, and the order (-count, pair) that all others follow."""
        if self._table.full():
            self._table.drop()
        ranked, following = self._table.largest(number)
        if not ranked and self._table.floor >= max(1, self._least):
            self._count_all()
            ranked, following = self._table.largest(number)
            if not ranked and self._table.floor:
                raise _too_many(self._table)
        return ranked, following

    def _count_all(self) -> None:
        """Counts all pairs, as many shares of them at a time as fit in memory."""
        shares = 1
        while not self._count_shares(shares):
            shares *= 2
            if shares > SHARES_MOST:
                raise _too_many(self._table)

    def _count_shares(self, shares: int) -> bool:
        self._table.clear()
        self._table.floor = 0
        lengths = np.array(self._lengths, np.int64)
        for number in range(shares):
            for block in self._pieces.blocks():
                self._table.reserve(min(len(block.symbols), len(self._texts) ** 2))
                if self._table.full():
                    return False
                kernel.count_pairs(
                    block.symbols,
                    block.begins,
                    block.counts,
                    lengths,
                    self._longest,
                    (number, shares),
                    *self._table.arrays,
                )
            if number + 1 < shares and 4 * int(self._table.used[0]) > self._table.most:
                self._table.drop()
        return True

    def _advance(self, batch: list[Merge], wanted: list[Pair]) -> Neighbors:
        """One pass: applies a batch to all pieces and counts the neighbors of the wanted pairs."""
        self.passes += 1
        neighbors = Neighbors(wanted)
        pairs = [merge.pair for merge in batch]
        flags = np.zeros(len(self._texts), np.uint8)
        for sides, chosen in ((kernel.MERGED_LEFT, pairs), (kernel.WANTED_LEFT, wanted)):
            for left, right in chosen:
                flags[left] |= sides
                flags[right] |= 2 * sides
        occurrences = np.zeros(len(batch), np.int64)
        merges = (index_table(pairs), np.array([merge.symbol for merge in batch], np.uint32), occurrences)
        lengths = np.array(self._lengths, np.int64)
        for block in self._pieces.blocks():
            self._table.reserve(min(len(block.symbols), 2 * len(batch) * len(self._texts)))
            neighbors.reserve(2 * min(len(block.symbols), len(wanted) * len(self._texts)))
            pieces, changed = kernel.advance(
                block.symbols,
                block.begins,
                block.counts,
                lengths,
                self._longest,
                flags,
                merges,
                self._table.arrays,
                neighbors.table,
                neighbors.arrays,
            )
            if changed:
                self._pieces.replace(block, pieces)
        neighbors.finish()
        for merge, number in zip(batch, occurrences.tolist(), strict=True):
            if merge.pair[0] != merge.pair[1] and not merge.least <= number <= merge.most:
                raise AssertionError(f"{merge} occurred {number} times")
        return neighbors


def _too_many(table: PairTable) -> KormoError:
    return KormoError(
        where="tokenizer: memory_gigabytes",
        found=f"{table.most // 2:,} pairs of symbols fit",
        why="the pairs that are merged next are not among the most frequent that fit in memory",
        do="raise memory_gigabytes, lower megabytes, or use a machine with more memory",
    )
