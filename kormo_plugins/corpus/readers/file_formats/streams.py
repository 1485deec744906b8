"""Reads plain files, compressed files and zip members in pieces of bounded size.

A damaged, truncated or excessively large archive raises `Damaged` after the readable part, so the loss is reported. No
decompressor call returns more than `CHUNK` bytes (zstd has no such limit and is fed `ZSTD_BLOCK` bytes at a time), so a
decompression bomb exceeds the ratio limit before it exceeds the memory.
"""

from __future__ import annotations

import bz2
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, cast

import zstandard

CHUNK = 1 << 20
ZSTD_BLOCK = 1 << 13
"""A zstd block can expand 32,000-fold: 8 KB become up to 256 MB."""
LZMA_MEMORY = 1 << 30
"""Maximum dictionary size of an xz file in bytes; `xz -9` needs 65 MB."""
RATIO_FLOOR = 64 << 20
"""Decompressed bytes below which the ratio is not checked."""
SUFFIXES = (".gz", ".zst", ".xz", ".bz2")
ZIP = ".zip"
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Damaged(Exception):
    """A file cannot be read to its end; the message is the reason of a reject."""


class Overlong(bytes):
    """The first bytes of a row that exceeds the size limit."""


def compression(name: str) -> str:
    """The compression suffix of a file name in lower case, or ""."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def chunks(path: Path, member: str | None = None, *, max_ratio: float = 200.0) -> Iterator[bytes]:
    """Yields the decompressed bytes of a file.

    Args:
        member: name of the file inside the zip archive `path`.
        max_ratio: maximum ratio of decompressed to stored size, checked from `RATIO_FLOOR` bytes on.
    Raises:
        Damaged: after everything readable was yielded.
        OSError: the file cannot be opened or read.
    """
    with _opened(path, member) as (file, size):
        total, suffix = 0, compression(member or path.name)
        for piece in _decompressed(file, suffix):
            total += len(piece)
            yield piece
            if total > RATIO_FLOOR and total > max_ratio * size:
                raise Damaged(f"grows more than {max_ratio:g}-fold when decompressed (max_ratio)")


@contextmanager
def _opened(path: Path, member: str | None) -> Iterator[tuple[BinaryIO, int]]:
    """Opens the file or zip member; also returns its stored size in bytes."""
    if member is None:
        with path.open("rb") as file:
            yield file, path.stat().st_size
        return
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(member)
            if info.compress_type not in ZIP_METHODS:
                raise Damaged("compressed in a way that is not read (only stored and deflated members of a zip are)")
            with archive.open(info) as file:
                yield cast(BinaryIO, file), info.compress_size
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise Damaged(f"damaged archive ({error})") from None
    except RuntimeError as error:  # raised by zipfile if a password is needed
        if "password" not in str(error):
            raise
        raise Damaged("encrypted archive") from None


def _decompressed(file: BinaryIO, suffix: str) -> Iterator[bytes]:
    if suffix == ".gz":
        return _members(file, _Gzip, zlib.error)
    if suffix == ".xz":
        return _members(file, lambda: lzma.LZMADecompressor(memlimit=LZMA_MEMORY), lzma.LZMAError)
    if suffix == ".bz2":
        return _members(file, bz2.BZ2Decompressor, OSError)
    if suffix == ".zst":
        return _members(file, _Zstd, zstandard.ZstdError, ZSTD_BLOCK)
    return iter(lambda: file.read(CHUNK), b"")


class _Decompressor(Protocol):
    """Common interface of bz2 and lzma decompressors."""

    @property
    def eof(self) -> bool:
        """Whether the end mark of the member has been reached."""

    @property
    def needs_input(self) -> bool:
        """Whether more compressed data is needed to continue."""

    @property
    def unused_data(self) -> bytes:
        """Input bytes after the end mark."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Decompresses at most `max_length` bytes (-1: no limit); the rest is kept for the next call."""


class _Gzip:
    """zlib with the interface of bz2 and lzma."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """As in bz2."""
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        """As in bz2."""
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """As in bz2; zlib keeps unread input in `unconsumed_tail`, which is passed to it again."""
        piece = self._stream.decompress(self._stream.unconsumed_tail + data, max(max_length, 0))
        self.needs_input = not self._stream.unconsumed_tail and len(piece) != max_length
        return piece


class _Zstd:
    """zstandard with the interface of bz2 and lzma; it has no `max_length`."""

    needs_input = True

    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor().decompressobj()

    @property
    def eof(self) -> bool:
        """As in bz2."""
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        """As in bz2."""
        return bytes(self._stream.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """As in bz2, but ignores `max_length`."""
        return bytes(self._stream.decompress(data))


def _members(
    file: BinaryIO, new: Callable[[], _Decompressor], fault: type[Exception], block: int = CHUNK
) -> Iterator[bytes]:
    """Decompresses a chain of members; in all four formats each member has its own end mark."""
    stream, fresh, begun = new(), True, False
    while data := file.read(block):
        begun = True
        if fresh and not data.strip(b"\0"):
            continue  # padding after the last member, as in tapes and xz
        while data or not stream.needs_input:
            try:
                piece = stream.decompress(data, CHUNK)
            except fault as error:
                raise Damaged(f"damaged archive ({error})") from None
            if piece:
                yield piece
            data, fresh = b"", False
            if stream.eof:
                data, stream, fresh = stream.unused_data.lstrip(b"\0"), new(), True
    if not fresh or not begun:  # even an empty archive has some bytes
        raise Damaged("the archive ends too early")


def lines(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Splits a stream into lines without line ends; a line of more than `limit` bytes is yielded as `Overlong`.

    Raises:
        Damaged: raised by `pieces`, after all whole lines; a last piece without a line end is not yielded.
    """
    rest: list[bytes] = []
    size = 0
    for piece in pieces:
        first, *others = piece.split(b"\n")
        if size <= limit:
            rest.append(first)
        size += len(first)
        if others:
            yield _bounded(rest, size, limit)
            for line in others[:-1]:
                yield _bounded([line], len(line), limit)
            rest, size = [others[-1]], len(others[-1])
    if size:
        yield _bounded(rest, size, limit)


def _bounded(line: list[bytes], size: int, limit: int) -> bytes:
    return b"".join(line) if size <= limit else Overlong(line[0][:1000])


def lines_in_range(path: Path, start: int, end: int | None, limit: int) -> Iterator[bytes]:
    """The lines of a plain file that begin in a byte range, as `lines` yields them."""
    with path.open("rb") as file:
        if start:
            file.seek(start - 1)
            _skip_line(file)  # the line that began before `start` belongs to the previous range
        while end is None or file.tell() < end:
            line = file.readline(limit + 1)
            if not line:
                return
            if len(line) > limit and not line.endswith(b"\n"):
                _skip_line(file)
                line = Overlong(line[:1000])
            yield line if isinstance(line, Overlong) else line.removesuffix(b"\n")


def _skip_line(file: BinaryIO) -> None:
    while (piece := file.readline(CHUNK)) and not piece.endswith(b"\n"):
        pass
