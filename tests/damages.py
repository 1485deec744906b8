"""What happens to files: one bit, half of it, other bytes of the same size, gone."""

from __future__ import annotations

from pathlib import Path


def flip(path: Path) -> None:
    """One bit in the middle is another."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    """The second half is missing."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(path: Path) -> None:
    """Other content, of the same size."""
    size = path.stat().st_size
    path.write_bytes((Path(__file__).read_bytes() * (1 + size // 500))[:size])


def remove(path: Path) -> None:
    """It is gone."""
    path.unlink()
