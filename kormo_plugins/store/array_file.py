"""Arrays in `.npy` files, without pickle: written whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kormo_plugins.store.atomic import replace

READ = 16 << 20
"""Bytes copied at a time."""


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes an `.npy` file in place of what was there."""

    def write(temporary: Path) -> None:
        """The array as npy; objects, which would be pickled, are refused."""
        with temporary.open("wb") as file:  # given a path, numpy would append `.npy` to it
            np.save(file, array, allow_pickle=False)

    replace(path, write)


def join_arrays(paths: Sequence[Path], out: Path) -> np.ndarray:
    """Concatenates arrays of one dtype and width into a file, which is memory-mapped for reading.

    Args:
        paths: `.npy` files, at least one; shapes [rows, …] that differ only in the number of rows.
    """
    tables = [np.load(path, mmap_mode="r") for path in paths]

    def write(temporary: Path) -> None:
        """One header, then the data of all files."""
        with temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, _header(tables[0], sum(map(len, tables))))
            for path, table in zip(paths, tables, strict=True):
                with path.open("rb") as part:
                    part.seek(path.stat().st_size - table.nbytes)
                    while block := part.read(READ):
                        file.write(block)

    replace(out, write)
    return np.asarray(np.load(out, mmap_mode="r"))


def take_rows(path: Path, wanted: np.ndarray, out: Path) -> np.ndarray:
    """Copies some rows of an array file into another file, which is memory-mapped for reading.

    The source is read, not mapped: pages of a mapped file would count as memory of the process.

    Args:
        path: an `.npy` file; shape [rows, …].
        wanted: indices of rows, int64, ascending, shape [wanted].
    """
    table = np.load(path, mmap_mode="r")
    size = table.nbytes // max(1, len(table))
    begin, many = path.stat().st_size - table.nbytes, max(1, READ // max(1, size))

    def write(temporary: Path) -> None:
        """A header, then the wanted rows, read in large blocks."""
        with temporary.open("wb") as file, path.open("rb") as source:
            np.lib.format.write_array_header_1_0(file, _header(table, len(wanted)))
            for start in range(0, len(table), many):
                low, high = np.searchsorted(wanted, [start, start + many])
                source.seek(begin + start * size)
                block = np.frombuffer(source.read(many * size), dtype=np.uint8).reshape(-1, size)
                file.write(block[wanted[low:high] - start].tobytes())

    replace(out, write)
    return np.asarray(np.load(out, mmap_mode="r"))


def _header(table: np.ndarray, rows: int) -> dict[str, object]:
    """What an `.npy` file of so many rows like these begins with."""
    return {
        "descr": np.lib.format.dtype_to_descr(table.dtype),
        "fortran_order": False,
        "shape": (rows, *table.shape[1:]),
    }
