"""The decompressed bytes of a web archive as a file object that raises an error if the archive is truncated.

The archive libraries also decompress, but treat an archive truncated inside a record as complete. An archive is a chain
of members, one per record (ISO 28500, annex D); a member without its end mark is truncated.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Protocol

import zstandard

if TYPE_CHECKING:
    from typing_extensions import Buffer

BLOCK = 1 << 20


class _Member(Protocol):
    @property
    def eof(self) -> bool:
        """Whether the end mark of the member has been reached."""

    @property
    def unused_data(self) -> bytes:
        """Input bytes that belong to the next member."""

    def decompress(self, data: bytes, /) -> bytes:
        """Decompresses `data`; raises zlib.error or ZstdError if it is damaged."""


class WholeArchive(io.RawIOBase):
    """A raw reader of the decompressed archive.

    Args:
        stream: of a plain, gzip or zstd file.
    Raises:
        OSError: while reading, if the archive is damaged or truncated.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._blocks = _decompressed(stream)
        self._block, self._at = b"", 0

    def readable(self) -> bool:
        """Always True; `io.BufferedReader` requires it."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Fills `buffer` with the next decompressed bytes; returns their number, 0 at the end.

        Raises:
            OSError: the archive is damaged or truncated here.
        """
        view = memoryview(buffer)
        while self._at == len(self._block):
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._block, self._at = block, 0
        piece = self._block[self._at : self._at + len(view)]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def _decompressed(stream: BinaryIO) -> Iterator[bytes]:
    first = stream.read(BLOCK)
    if first.startswith(b"\x1f\x8b"):
        yield from _members(first, stream, lambda: zlib.decompressobj(wbits=31))
    elif first.startswith((b"\x28\xb5\x2f\xfd", b"\x5d\x2a\x4d\x18")):  # a frame, or the dictionary before it
        yield from _members(first, stream, lambda: zstandard.ZstdDecompressor().decompressobj())
    else:
        while first:
            yield first
            first = stream.read(BLOCK)


def _members(block: bytes, stream: BinaryIO, new: Callable[[], _Member]) -> Iterator[bytes]:
    member, begun = new(), False
    while block:
        try:
            yield member.decompress(block)
        except (zlib.error, zstandard.ZstdError) as error:
            raise OSError(f"damaged archive: {error}") from None
        begun, block = not member.eof, member.unused_data if member.eof else b""
        if member.eof:
            member = new()
        block = block or stream.read(BLOCK)
    if begun:
        raise OSError("the archive ends too early")
