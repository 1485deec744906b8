"""Pieces on disk, in blocks that are read, changed and written back in place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 18
"""Symbols of a block, a megabyte; a longer piece is a block of its own."""


@dataclass
class _Extent:
    """Where a block is, and what is left of it."""

    offset: int
    pieces: int
    symbols: int


class PieceFile:
    """A file of pieces and their counts. Blocks keep their place; they can only become smaller."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: the file, which is created.
        """
        self._file = path.open("w+b")
        self._extents: list[_Extent] = []

    def __enter__(self) -> PieceFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, symbols: NDArray[np.uint32], begins: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Adds pieces of two or more symbols; shorter ones are left out.

        Args:
            symbols: of all pieces.
            begins: of each piece in `symbols`, and the end of the last; int64 [pieces + 1].
            counts: occurrences of each piece; int64 [pieces].
        """
        first = 0
        while first < len(counts):
            last = int(np.searchsorted(begins, begins[first] + BLOCK, "right")) - 1
            last = min(max(last, first + 1), len(counts))
            sizes = np.diff(begins[first : last + 1])
            kept = sizes > 1
            chosen = symbols[begins[first] : begins[last]][np.repeat(kept, sizes)]
            extent = _Extent(self._file.seek(0, 2), int(kept.sum()), len(chosen))
            if extent.pieces:
                self._extents.append(extent)
                self._write(extent, chosen, np.append(0, np.cumsum(sizes[kept])), counts[first:last][kept])
            first = last

    @property
    def symbols(self) -> int:
        """Symbols of all pieces."""
        return sum(extent.symbols for extent in self._extents)

    @property
    def pieces(self) -> int:
        """The number of pieces."""
        return sum(extent.pieces for extent in self._extents)

    def blocks(self) -> Iterator[Block]:
        """Every block that is not empty, one at a time in memory."""
        for extent in self._extents:
            if not extent.pieces:
                continue
            self._file.seek(extent.offset)
            counts = np.fromfile(self._file, np.int64, extent.pieces)
            sizes = np.fromfile(self._file, np.uint32, extent.pieces)
            symbols = np.fromfile(self._file, np.uint32, extent.symbols)
            yield Block(self, extent, symbols, np.append(0, np.cumsum(sizes, dtype=np.int64)), counts)

    def replace(self, block: Block, pieces: int) -> None:
        """Writes back a block, of which the first `pieces` are left."""
        extent, begins = block.extent, block.begins[: pieces + 1]
        extent.pieces, extent.symbols = pieces, int(begins[-1])
        self._write(extent, block.symbols[: extent.symbols], begins, block.counts[:pieces])

    def _write(
        self, extent: _Extent, symbols: NDArray[np.uint32], begins: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        self._file.seek(extent.offset)
        for array in (counts, np.diff(begins).astype(np.uint32), symbols):
            array.tofile(self._file)


@dataclass
class Block:
    """Pieces in memory: symbols, where each piece begins in them, and counts."""

    file: PieceFile
    extent: _Extent
    symbols: NDArray[np.uint32]
    begins: NDArray[np.int64]
    counts: NDArray[np.int64]
