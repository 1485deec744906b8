"""Divides files into units, the pieces that are read in one go, and units into parts.

Units depend only on the files (names, sizes, row groups), never on the number of workers, and a part is a run of
consecutive units. The order of a source is therefore the order of its parts, however they are scheduled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kormo_plugins.corpus.readers.file_formats.encodings import AUTO, LINE_SAFE, to_utf8
from kormo_plugins.corpus.readers.file_formats.json_values import HEAD, layout
from kormo_plugins.corpus.readers.file_formats.streams import ZIP, compression
from kormo_plugins.corpus.readers.find import Found

UNIT_BYTES, LEAST_BYTES = 16 << 20, 4 << 20
"""Byte ranges of a plain line-based file, and the target size of a part: of a large input, and at least."""
PARTS = 16
"""Parts of an input that is not large: what one process too many waits for is then little of the whole."""
MAX_PARTS = 1024
COMPRESSED = 4
"""Assumed compression ratio, for dividing the work."""


@dataclass(frozen=True)
class Unit:
    """A piece of a file that is read in one go.

    Args:
        file: the file, possibly with the fault that prevents reading it.
        start, end: byte range of a plain line-based file, or row groups of a Parquet file; None: to its end.
        weight: approximate bytes of text.
    """

    file: Found
    start: int = 0
    end: int | None = None
    weight: int = 0


def units(files: Iterable[Found], *, encoding: str, text_per_line: bool) -> list[Unit]:
    """Divides files into units, in order.

    Args:
        encoding: of the files; in some encodings reading cannot start at an arbitrary line.
        text_per_line: whether each line of a text file is a document, so that it can be divided like JSONL.
    """
    sizes = [(file, _size(file)) for file in files]
    unit = _unit_bytes(sum(size for _, size in sizes))
    all_units: list[Unit] = []
    for file, size in sizes:
        if file.kind == "parquet":
            all_units += _row_groups(file)
        elif size > unit and _has_ranges(file, encoding, text_per_line):
            step = -(-size // -(-size // unit))  # all ranges of a file are equal
            for start in range(0, size, step):
                end = min(start + step, size)
                all_units.append(Unit(file, start, end, end - start))
        else:
            packed = file.member is not None or compression(file.path.name)
            all_units.append(Unit(file, weight=size * (COMPRESSED if packed else 1)))
    return all_units


def _unit_bytes(size: int) -> int:
    """Target size of a unit of an input of so many bytes."""
    return min(UNIT_BYTES, max(LEAST_BYTES, -(-size // PARTS)))


def _size(file: Found) -> int:
    """Stored bytes of a file; 0 if it cannot be read."""
    if not file.kind:
        return 0
    return file.size if file.member is not None else file.path.stat().st_size


def _has_ranges(file: Found, encoding: str, text_per_line: bool) -> bool:
    """Whether reading can start at any line of a file."""
    if file.member is not None or compression(file.path.name) or file.path.suffix.lower() == ZIP:
        return False
    if file.kind == "text":
        return text_per_line and _head(file.path, encoding) is not None
    return file.kind == "jsonl" and (head := _head(file.path, encoding)) is not None and layout(head) == "lines"


def _head(path: Path, encoding: str) -> bytes | None:
    """The first bytes of a file as UTF-8; None if the byte 0x0A might not be a line end."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if encoding == AUTO:  # only UTF-16 and UTF-32 text contains NUL, as do their marks
        return None if b"\0" in head or head[:2] in (b"\xff\xfe", b"\xfe\xff") else head
    return b"".join(to_utf8([head], encoding)) if encoding in LINE_SAFE else None


def _row_groups(file: Found) -> list[Unit]:
    import pyarrow.parquet as pq

    try:
        meta = pq.read_metadata(file.path)
    except (OSError, ValueError):  # damaged: the reader will reject the file
        return [Unit(file, weight=_size(file))]
    return [
        Unit(file, group, group + 1, meta.row_group(group).total_byte_size) for group in range(meta.num_row_groups)
    ] or [Unit(file)]


def parts_for(found: list[Unit]) -> int:
    """The number of parts for these units."""
    size = sum(unit.weight for unit in found)
    return max(1, min(len(found), -(-size // _unit_bytes(size)), MAX_PARTS))


def share(found: list[Unit], shard: int, shards: int) -> list[Unit]:
    """The units of part `shard`: consecutive units with about the same total weight as the other parts."""
    total = sum(unit.weight + 1 for unit in found)
    chosen, before = [], 0
    for unit in found:
        middle = 2 * before + unit.weight + 1
        if middle * shards // (2 * total) == shard:
            chosen.append(unit)
        before += unit.weight + 1
    return chosen
