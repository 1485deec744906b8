"""How files are divided among parts: what is read in one go is a unit, and a part is a run of units.

Units come from the files alone (names, sizes, row groups), never from the number of workers, and parts are runs of
neighbouring units. So the order of a source is the order of its parts, whoever reads them and when.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kormo_plugins.corpus.readers.file_formats.encodings import AUTO, LINE_SAFE, to_utf8
from kormo_plugins.corpus.readers.file_formats.json_values import HEAD, layout
from kormo_plugins.corpus.readers.file_formats.streams import ZIP, compression
from kormo_plugins.corpus.readers.find import Found

UNIT_BYTES = 16 << 20
"""A plain file of lines is read in ranges of this many bytes; also the size that a part aims at."""
MAX_PARTS = 1024
COMPRESSED = 4
"""How much larger than the archive its text is taken to be, for dividing the work."""


@dataclass(frozen=True)
class Unit:
    """What is read in one go.

    Args:
        file: the file, or what keeps it from being read.
        start, end: bytes of a plain file of lines, row groups of a Parquet file; None: to its end.
        weight: bytes of text, roughly.
    """

    file: Found
    start: int = 0
    end: int | None = None
    weight: int = 0


def units(files: Iterable[Found], *, encoding: str, text_per_line: bool) -> list[Unit]:
    """The files as units, in order.

    Args:
        encoding: of the files; some cannot be entered at any line.
        text_per_line: whether each line of a text file is a document, so that it can be divided as JSONL is.
    """
    found: list[Unit] = []
    for file in files:
        size = _size(file)
        if file.kind == "parquet":
            found += _row_groups(file)
        elif size > UNIT_BYTES and _has_ranges(file, encoding, text_per_line):
            for start in range(0, size, UNIT_BYTES):
                end = min(start + UNIT_BYTES, size)
                found.append(Unit(file, start, end, end - start))
        else:
            packed = file.member is not None or compression(file.path.name)
            found.append(Unit(file, weight=size * (COMPRESSED if packed else 1)))
    return found


def _size(file: Found) -> int:
    """Bytes of a file as it is stored; 0 for one that cannot be read."""
    if not file.kind:
        return 0
    return file.size if file.member is not None else file.path.stat().st_size


def _has_ranges(file: Found, encoding: str, text_per_line: bool) -> bool:
    """Whether a file may be entered at any line."""
    if file.member is not None or compression(file.path.name) or file.path.suffix.lower() == ZIP:
        return False
    if file.kind == "text":
        return text_per_line and _head(file.path, encoding) is not None
    return file.kind == "jsonl" and (head := _head(file.path, encoding)) is not None and layout(head) == "lines"


def _head(path: Path, encoding: str) -> bytes | None:
    """The first bytes of a file as UTF-8; None where a line end may be no line end."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if encoding == AUTO:  # only UTF-16 and UTF-32 have NUL in text, and their marks
        return None if b"\0" in head or head[:2] in (b"\xff\xfe", b"\xfe\xff") else head
    return b"".join(to_utf8([head], encoding)) if encoding in LINE_SAFE else None


def _row_groups(file: Found) -> list[Unit]:
    import pyarrow.parquet as pq

    try:
        meta = pq.read_metadata(file.path)
    except (OSError, ValueError):  # damaged: the reader rejects the file by name
        return [Unit(file, weight=_size(file))]
    return [
        Unit(file, group, group + 1, meta.row_group(group).total_byte_size) for group in range(meta.num_row_groups)
    ] or [Unit(file)]


def parts_for(found: list[Unit]) -> int:
    """How many parts these units should be worked on in."""
    size = sum(unit.weight for unit in found)
    return max(1, min(len(found), -(-size // UNIT_BYTES), MAX_PARTS))


def share(found: list[Unit], shard: int, shards: int) -> list[Unit]:
    """The units of part `shard`: a run of neighbours of about the same weight as the others'."""
    total = sum(unit.weight + 1 for unit in found)
    chosen, before = [], 0
    for unit in found:
        middle = 2 * before + unit.weight + 1
        if middle * shards // (2 * total) == shard:
            chosen.append(unit)
        before += unit.weight + 1
    return chosen
