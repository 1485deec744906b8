"""Arrays in `.npy` files, without pickle: written whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kormo_plugins.store.atomic import replace

READ = 16 << 20
"""Bytes that are copied at a time."""


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes an `.npy` file in place of what was there."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # by its name alone, numpy would give it another ending
            np.save(file, array, allow_pickle=False)

    replace(path, write)


def join_arrays(paths: Sequence[Path], out: Path) -> np.ndarray:
    """Arrays of the same kind and width one behind the other, in a file, mapped for reading; in little memory.

    Args:
        paths: of the arrays, at least one; shapes [rows, …] that differ in their rows alone.
    """
    tables = [np.load(path, mmap_mode="r") for path in paths]
    header = {
        "descr": np.lib.format.dtype_to_descr(tables[0].dtype),
        "fortran_order": False,
        "shape": (sum(map(len, tables)), *tables[0].shape[1:]),
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for path, table in zip(paths, tables, strict=True):
                with path.open("rb") as part:
                    part.seek(path.stat().st_size - table.nbytes)
                    while block := part.read(READ):
                        file.write(block)

    replace(out, write)
    return np.asarray(np.load(out, mmap_mode="r"))
