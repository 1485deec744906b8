"""Lines of plain, gzip and zstd files, as bytes; an archive that ends too early is told, not taken for whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 20
SUFFIXES = (".gz", ".zst")


class Truncated(Exception):
    """The archive is damaged or ends before its end mark."""


def chunks(path: Path) -> Iterator[bytes]:
    """The decompressed bytes of a file, in pieces.

    Raises:
        Truncated: after all that could be read.
    """
    with path.open("rb") as file:
        if path.suffix == ".gz":
            yield from _members(file, lambda: zlib.decompressobj(wbits=31), zlib.error)
        elif path.suffix == ".zst":
            import zstandard

            decompressor = zstandard.ZstdDecompressor()
            yield from _members(file, decompressor.decompressobj, zstandard.ZstdError)
        else:
            while block := file.read(CHUNK):
                yield block


def _members(file, new, fault) -> Iterator[bytes]:  # type: ignore[no-untyped-def]
    """Both formats are chains of members, each with an end mark of its own."""
    stream, fresh = new(), True
    while block := file.read(CHUNK):
        while block:
            try:
                yield stream.decompress(block)
            except fault as error:
                raise Truncated(f"damaged archive ({error})") from None
            fresh, block = stream.eof, stream.unused_data if stream.eof else b""
            if stream.eof:
                stream = new()
    if not fresh:
        raise Truncated("the archive ends too early")


def lines(path: Path, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The lines of a file, without their line ends.

    Args:
        start, end: for a plain file, the lines that begin in this range of bytes.
    Raises:
        Truncated: after all whole lines; a last piece without a line end is then not yielded.
    """
    if start or end is not None:
        yield from _range(path, start, end)
        return
    rest: list[bytes] = []
    for chunk in chunks(path):
        first, *others = chunk.split(b"\n")
        rest.append(first)
        if others:
            yield b"".join(rest)
            yield from others[:-1]
            rest = [others[-1]]
    if last := b"".join(rest):
        yield last


def _range(path: Path, start: int, end: int | None) -> Iterator[bytes]:
    with path.open("rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()  # the line that began before `start` belongs to the range before
        while end is None or file.tell() < end:
            line = file.readline()
            if not line:
                return
            yield line.removesuffix(b"\n")
