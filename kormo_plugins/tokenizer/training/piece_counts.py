"""Counts the pieces of a training text in bounded memory.

Pieces are counted in a hash table of bounded size. When it is full, its entries are written to disk as a run sorted by
hash; at the end the runs are merged one hash range at a time, so that only one range of all runs is in memory. It is
read, not mapped: pages of a mapped file would count as memory of this process. The counts are exact: nothing is
estimated or dropped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from kormo_plugins.tokenizer.training import piece_kernel as kernel

CODES = 0x110000
ENTRY = 24
"""Bytes of an entry besides its text: hash, offset and count; and two slots of four bytes."""
FIRST = 1 << 16
"""Initial capacity in entries; a power of two."""
RANGES = 1 << 12
"""Hash ranges by which a run can be read."""


@dataclass(frozen=True)
class Counted:
    """Some pieces and their counts.

    Args:
        begins: offset in `arena` of each piece, and the end of the last; int64 [pieces + 1].
        counts: int64 [pieces].
        arena: UTF-8 bytes of the pieces; uint8.
    """

    begins: NDArray[np.int64]
    counts: NDArray[np.int64]
    arena: NDArray[np.uint8]

    def items(self) -> Iterator[tuple[str, int]]:
        """Each piece with its count."""
        data = self.arena.tobytes()
        for (begin, end), count in zip(pairwise(self.begins.tolist()), self.counts.tolist(), strict=True):
            yield data[begin:end].decode(), count


class PieceCounts:
    """Counts the pieces of texts: NFC, without newline runs, split by `train.SPLIT`."""

    def __init__(self, scratch: Path, memory: float = 1e9) -> None:
        """
        Args:
            scratch: an existing folder for the runs.
            memory: maximum bytes of the table.
        """
        self.scratch, self.memory = scratch, memory
        self.runs: list[Path] = []
        self.seen = np.zeros(CODES, np.uint8)
        self._total: tuple[int, int] | None = None
        self._empty()

    def _empty(self) -> None:
        self._used = np.zeros(2, np.int64)
        self._table = np.full(2 * FIRST, -1, np.int32)
        self._hashes, self._counts = np.zeros(FIRST, np.uint64), np.zeros(FIRST, np.int64)
        self._begins, self._arena = np.zeros(FIRST + 1, np.int64), np.zeros(16 * FIRST, np.uint8)

    def characters(self) -> list[str]:
        """Every character that occurred, before normalization, sorted."""
        return [chr(code) for code in np.flatnonzero(self.seen)]

    def add(self, texts: Iterable[str]) -> None:
        """Counts the pieces of texts."""
        self._total = None
        for text in texts:
            if not unicodedata.is_normalized("NFC", text):
                self.seen[list(set(map(ord, text)))] = 1
                text = unicodedata.normalize("NFC", text)
            self._add(text)

    def _add(self, text: str) -> None:
        codes, starts, ends = cut(text, self.seen)
        places = np.empty(len(codes) + 1, np.int64)
        kernel.offsets(codes, places)
        data, first = np.frombuffer(text.encode(), np.uint8), 0
        while True:
            state = (self._used, self._table, self._hashes, self._begins, self._counts, self._arena)
            first = kernel.count(data, places, starts, ends, first, *state)
            if first == len(starts):
                return
            self._grow(int(ends[first] - starts[first]) * 4)

    def _grow(self, needed: int) -> None:
        """Makes room for one more piece, by growing the table or by writing it to disk."""
        entries, size = (int(number) for number in self._used)
        if entries == len(self._hashes):
            if (4 * entries) * (ENTRY + 16) + len(self._arena) > self.memory and entries > FIRST:
                return self._spill()
            self._hashes, self._counts = _longer(self._hashes, 2 * entries), _longer(self._counts, 2 * entries)
            self._begins = _longer(self._begins, 2 * entries + 1)
            self._table = np.full(4 * entries, -1, np.int32)
            kernel.insert(self._hashes, entries, self._table)
        if size + needed > len(self._arena):
            self._arena = _longer(self._arena, max(2 * len(self._arena), size + needed))

    def _sorted(self) -> tuple[NDArray[np.uint64], Counted]:
        entries = int(self._used[0])
        order = np.argsort(self._hashes[:entries], kind="stable")
        arena = np.empty(int(self._used[1]), np.uint8)
        begins = kernel.moved(order, self._begins, self._arena, arena)
        return self._hashes[order], Counted(begins, self._counts[order], arena)

    def _spill(self) -> None:
        run = self.scratch / f"run-{len(self.runs):05d}"
        run.mkdir()
        hashes, counted = self._sorted()
        for name, array in (("hashes", hashes), *vars(counted).items()):
            array.tofile(run / name)
        starts = np.arange(RANGES, dtype=np.uint64) << np.uint64(64 - RANGES.bit_length() + 1)
        np.append(np.searchsorted(hashes, starts), len(hashes)).astype(np.int64).tofile(run / "bounds")
        self.runs.append(run)
        self._empty()

    def total(self) -> tuple[int, int]:
        """The number of distinct pieces and their bytes."""
        if not self.runs:
            return int(self._used[0]), int(self._used[1])
        if self._total is None:
            parts = [(len(part.counts), len(part.arena)) for part in self.counted()]
            self._total = sum(pieces for pieces, _ in parts), sum(size for _, size in parts)
        return self._total

    def counted(self) -> Iterator[Counted]:
        """All pieces, in several parts; each piece is in exactly one."""
        if not self.runs:
            yield self._sorted()[1]
            return
        if self._used[0]:
            self._spill()
        runs = [_Run(run) for run in self.runs]
        # Uses as many hash ranges as there are runs, so that one range of all runs needs no more memory than one run.
        ranges = min(RANGES, 1 << (2 * len(runs) - 1).bit_length())
        for number in range(ranges):
            yield _unite([run.part(number, ranges) for run in runs])


class _Run:
    """Entries on disk, sorted by hash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bounds = np.fromfile(folder / "bounds", np.int64)

    def part(self, number: int, ranges: int) -> tuple[NDArray[np.uint64], Counted]:
        """Reads the range `number` of `ranges`, a power of two, of the hashes."""
        first, last = (int(self.bounds[place * RANGES // ranges]) for place in (number, number + 1))
        begins = self._read("begins", np.int64, first, last + 1)
        arena = self._read("arena", np.uint8, int(begins[0]), int(begins[-1]))
        hashes = self._read("hashes", np.uint64, first, last)
        return hashes, Counted(begins - begins[0], self._read("counts", np.int64, first, last), arena)

    def _read(self, name: str, dtype: type[np.generic], first: int, last: int) -> NDArray[Any]:
        size = np.dtype(dtype).itemsize
        return np.fromfile(self.folder / name, dtype, last - first, offset=first * size)


def _unite(parts: list[tuple[NDArray[np.uint64], Counted]]) -> Counted:
    """Merges parts of several runs, so that each piece occurs once."""
    hashes = np.concatenate([hashes for hashes, _ in parts])
    arena = np.concatenate([part.arena for _, part in parts])
    before = np.cumsum([0, *(len(part.arena) for _, part in parts)])
    begins = np.concatenate(
        [*(part.begins[:-1] + start for (_, part), start in zip(parts, before, strict=False)), [len(arena)]]
    )
    order = np.argsort(hashes, kind="stable")
    counts = np.concatenate([part.counts for _, part in parts])[order]
    ordered = np.empty(len(arena), np.uint8)
    begins = kernel.moved(order, begins, arena, ordered)
    different = kernel.united(hashes[order], begins, counts, ordered)
    kept = np.flatnonzero(counts)
    assert len(kept) == different
    out = np.empty(int((begins[kept + 1] - begins[kept]).sum()), np.uint8)
    return Counted(kernel.moved(kept, begins, ordered, out), counts[kept], out)


def _longer(array: Any, size: int) -> Any:
    """The array extended to `size`."""
    made = np.zeros(size, array.dtype)
    made[: len(array)] = array
    return made


def cut(text: str, seen: NDArray[np.uint8]) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """Code points of a text in NFC, and start and end of its pieces; marks the code points in `seen`."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    starts, ends = np.empty(len(codes), np.int64), np.empty(len(codes), np.int64)
    pieces = kernel.cut(codes, classes(), seen, starts, ends)
    return codes, starts[:pieces], ends[:pieces]


def pieces(text: str) -> list[str]:
    """The pieces of one text, in order: NFC, without newline runs."""
    text = unicodedata.normalize("NFC", text)
    _, starts, ends = cut(text, np.zeros(CODES, np.uint8))
    return [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


@lru_cache(maxsize=1)
def classes() -> NDArray[np.uint8]:
    """Class of each code point, by the module `regex`, whose syntax the split uses (see `piece_kernel.cut`)."""
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, CODES))))
    table = np.zeros(CODES, np.uint8)
    for kind, pattern in ((kernel.LETTER, r"\p{L}+"), (kernel.NUMBER, r"\p{N}+"), (kernel.SPACE, r"\s+")):
        for run in regex.finditer(pattern, every):
            first, last = ord(run[0][0]), ord(run[0][-1])
            table[first : last + 1] = kind
    table[0xD800:0xE000] = kernel.OTHER
    table[[10, 13]] = kernel.LINE
    return table
