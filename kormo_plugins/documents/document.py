"""Text documents and the files that hold them: the form in which text goes from room to room.

A corpus is a folder of `part-00000.jsonl.zst` files. Each line is one document with its provenance, so that no
document is ever without its language, licence and the answer to "who wrote this, a person or a model?".
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import orjson
import zstandard

ZSTD_LEVEL = 3
"""Of files that are kept."""
WORK_LEVEL = -3
"""Of files that the next pass reads and removes: half the time of level 3, two thirds more bytes."""
MAX_LINE = 1 << 30
"""Bytes that no document of a corpus reaches."""
_NO_META = b', "meta": {}}\n'


@dataclass(slots=True)
class Document:
    """One text with its provenance.

    Args:
        id: unique within its source, and the same in every build.
        text: the text, any Unicode but lone surrogates.
        source: name of the source in the dataset recipe.
        language: BCP 47 code (`ko`, `en`); `mul` for a document in several.
        license: licence of the text (SPDX where there is one).
        synthetic: written by a machine.
        generator: which one, if so.
        meta: whatever else the source gave.
    """

    id: str
    text: str
    source: str = ""
    language: str = "und"
    license: str = "unknown"
    synthetic: bool = False
    generator: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reject:
    """What a corpus step returns instead of a document that it drops."""

    reason: str


def to_line(document: Document) -> bytes:
    """The document as a line of JSON with its line end: the bytes of `json.dumps(asdict(document),
    ensure_ascii=False)`, a third of the time.

    Raises:
        TypeError: a lone surrogate, which has no UTF-8, or `meta` that is no JSON.
    """
    text = orjson.dumps
    return b'{"id": %b, "text": %b, "source": %b, "language": %b, "license": %b, "synthetic": %b, "generator": %b%b' % (
        text(document.id),
        text(document.text),
        text(document.source),
        text(document.language),
        text(document.license),
        text(document.synthetic),
        text(document.generator),
        # json: integers of any size, NaN
        b', "meta": %b}\n' % json.dumps(document.meta, ensure_ascii=False).encode() if document.meta else _NO_META,
    )


def from_line(line: bytes) -> Document:
    """The document of such a line."""
    # orjson would make a float of an integer beyond 64 bits, and refuse NaN: both can be in `meta` alone.
    return Document(**(orjson.loads(line) if line.endswith(_NO_META) else json.loads(line)))


def write_documents(path: Path, documents: Iterable[Document], level: int = ZSTD_LEVEL) -> int:
    """Writes one `.jsonl.zst` file; returns the number of documents. The caller renames it into place."""
    return write_lines(path, map(to_line, documents), level)


def write_lines(path: Path, lines: Iterable[bytes], level: int = ZSTD_LEVEL) -> int:
    """The same from lines that `to_line` made."""
    count = 0
    with path.open("wb") as file, _compressor(level).stream_writer(file) as stream:
        for line in lines:
            stream.write(line)
            count += 1
    return count


def _compressor(level: int) -> zstandard.ZstdCompressor:
    """Each frame carries a checksum of its content."""
    return zstandard.ZstdCompressor(level=level, write_checksum=True)


def read_documents(source: Path | IO[bytes]) -> Iterator[Document]:
    """The documents of one `.jsonl.zst` file, in order.

    Args:
        source: the file, or what it is read from; that is left open.
    Raises:
        ValueError: a document of `MAX_LINE` bytes or more: a few kilobytes of zstd can hold one that fills the memory.
    """
    return map(from_line, read_lines(source))


def read_lines(source: Path | IO[bytes]) -> Iterator[bytes]:
    """The lines of such a file, for who need not know what they say.

    Raises:
        ValueError: one of `MAX_LINE` bytes or more: a few kilobytes of zstd can hold one that fills the memory.
    """
    with (
        source.open("rb") if isinstance(source, Path) else contextlib.nullcontext(source) as file,
        zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False) as stream,
    ):
        reader = io.BufferedReader(stream, 1 << 20)
        for line in iter(partial(reader.readline, MAX_LINE), b""):
            if len(line) >= MAX_LINE:
                raise ValueError(f"a document of {MAX_LINE:,} bytes or more")
            yield line
