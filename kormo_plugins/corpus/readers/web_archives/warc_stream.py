"""The decompressed bytes of a web archive as a file, which fails where the archive ends too early.

The libraries that read archives decompress them as well, but take one that was cut inside a record for a whole one. An
archive is a chain of members, one for each record (ISO 28500, annex D), and a member without its end was cut.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

BLOCK = 1 << 20


class _Member(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class WholeArchive(io.RawIOBase):
    """Reads as the decompressed archive.

    Args:
        stream: of a plain, gzip or zstd file.
    Raises:
        OSError: while reading, where the archive is damaged or ends too early.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._blocks = _decompressed(stream)
        self._block, self._at = b"", 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
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
    import zstandard

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
    import zstandard

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
