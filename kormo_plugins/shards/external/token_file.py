"""The common representation of all formats: a file of ids and the document offsets."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError
from kormo_plugins.shards.reader import Shards
from kormo_plugins.store.atomic import replace


@dataclass(frozen=True)
class TokenFile:
    """Concatenated token ids, and the documents in them.

    Args:
        path: the ids, raw and little-endian, without header or trailer.
        dtype: dtype of the ids.
        offsets: start of each document, and the number of tokens; int64 [documents + 1].
        trained: file with one byte per token, 1 if it is predicted; None: all are.
    """

    path: Path
    dtype: np.dtype[np.integer]
    offsets: NDArray[np.int64]
    trained: Path | None = None

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self.offsets) - 1

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return int(self.offsets[-1])


@dataclass(frozen=True)
class ReadOptions:
    """Information that a format may lack.

    Args:
        dtype: dtype of the ids, if no file gives it.
        end_id: id of the token that ends a document, if boundaries are not stored otherwise.
    """

    dtype: str | None = None
    end_id: int | None = None


class Format(Protocol):
    """A token file format."""

    SUFFIX: str
    """Suffix of the file with the ids."""

    def read(self, path: Path, options: ReadOptions) -> TokenFile:
        """Reads the token file at `path`.

        Raises:
            KormoError: the file or a companion file is missing, damaged, or in another format.
        """

    def write(self, shards: Shards, shard: int, path: Path) -> None:
        """Writes shard number `shard` with its ids at `path`.

        Raises:
            KormoError: the format cannot represent it.
        """


def find(path: Path, suffix: str) -> list[Path]:
    """The file, or all files below a folder that end with `suffix`, sorted by name.

    Raises:
        KormoError: there is none.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob(f"*{suffix}") if file.is_file())
    if not files:
        raise KormoError(
            where=str(path),
            found=f"no file that ends with {suffix}" if path.is_dir() else "no such file or folder",
            why="there are no tokens to read",
            do="correct the path or the format",
        )
    return files


def damaged(path: Path, found: str, why: str) -> KormoError:
    """The error for a file that does not conform to its format."""
    return KormoError(where=str(path), found=found, why=why, do="correct `format`, or create the file again")


def from_ends(ends: NDArray[np.integer], path: Path, tokens: int) -> NDArray[np.int64]:
    """Offsets from document ends.

    Raises:
        KormoError: the ends are not sorted, or the last one is not the end of the file.
    """
    offsets: NDArray[np.int64] = np.concatenate([np.zeros(1, np.int64), np.asarray(ends).astype(np.int64)])
    if (np.diff(offsets) < 0).any() or offsets[-1] != tokens:
        raise damaged(path, f"documents that end at token {int(offsets[-1]):,}", f"the file has {tokens:,} tokens")
    return offsets


def count(path: Path, dtype: np.dtype[np.integer]) -> int:
    """Number of ids in a file.

    Raises:
        KormoError: its size is not a multiple of the id size.
    """
    size = path.stat().st_size
    if size % dtype.itemsize:
        raise damaged(path, f"{size:,} bytes", f"ids of {dtype.name} have {dtype.itemsize} bytes each")
    return size // dtype.itemsize


def copy(source: Path, target: Path) -> None:
    """Copies a file through a temporary name."""
    replace(target, partial(shutil.copyfile, source))


def write_through(target: Path, parts: Iterable[bytes]) -> None:
    """Writes a file from parts through a temporary name."""

    def write(path: Path) -> None:
        """Writes the parts in order."""
        with path.open("wb") as file:
            file.writelines(parts)

    replace(target, write)


def refuse_masks(shards: Shards, name: str) -> None:
    """Raises KormoError for a source of conversations: the format has no loss masks."""
    if shards.masked:
        raise KormoError(
            where=str(shards.folder),
            found="tokens that are excluded from the loss",
            why=f"files of {name} have no loss masks, so all tokens would be trained",
            do="convert to the format datatrove, which has masks",
        )


Progress = Callable[[int], None]
