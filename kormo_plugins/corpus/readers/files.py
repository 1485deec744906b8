"""The readers `jsonl`, `parquet`, `text` and `folder` (any mixture of them): documents of local files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.readers.columns import Columns, to_document
from kormo_plugins.corpus.readers.streams import Truncated, chunks, lines
from kormo_plugins.corpus.readers.units import Unit, find_files, parts_for, share, units
from kormo_plugins.corpus.step import Read, Rejected
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.store.fingerprint import file_checksum

BOM = b"\xef\xbb\xbf"
BATCH_ROWS = 1024
"""Rows of a Parquet file held at a time."""


class FilesParams(Strict):
    """A file, or a folder that is searched with all its subfolders."""

    path: Path = Field(description="file or folder, relative to the current directory")
    columns: Columns = Field(default=Columns(), description="which column is what (text files have none)")
    follow_links: bool = Field(default=False, description="read symbolic links that leave the folder")


class Files:
    """A reader of files of some kinds; called with `(params, shard, shards)`.

    Args:
        kinds: of `jsonl`, `parquet`, `text`.
        name: the reader's name, for messages.
    """

    VERSION = 1

    def __init__(self, *kinds: str, name: str = "") -> None:
        self.kinds, self.name = kinds, name or kinds[0]

    def _find(self, params: FilesParams) -> list[tuple[Path, str, str]]:
        return find_files(params.path, self.kinds, params.follow_links, f"reader {self.name}: path")

    def parts(self, params: FilesParams) -> int:
        """In how many parts this input should be read: one for about 16 MB."""
        return parts_for(units(self._find(params)))

    def inputs(self, params: FilesParams) -> dict[str, Any]:
        """What the documents depend on: names, sizes and checksums of the files, and the columns."""
        return {
            "columns": params.columns.model_dump(mode="json"),
            "files": [
                [name, path.stat().st_size, file_checksum(path)] if kind in self.kinds else [name, kind]
                for path, name, kind in self._find(params)
            ],
        }

    def __call__(self, params: FilesParams, shard: int = 0, shards: int = 1) -> Read:
        """The documents of part `shard` of `shards`, and a `Rejected` for whatever could not become one."""
        for unit in share(units(self._find(params)), shard, shards):
            yield from _READ[unit.kind](unit, params.columns)


def reject(place: str, reason: str, text: str = "") -> Rejected:
    """An input that never became a document."""
    return Rejected(Document(id=place, text=text), reason)


def _jsonl(unit: Unit, columns: Columns) -> Read:
    import orjson

    # Lines are counted from the start of the range: to know the number in the whole file would mean to read it all.
    prefix = f"{unit.name}:" if not unit.start else f"{unit.name}@{unit.start}:"
    number = 0
    try:
        for number, line in enumerate(lines(unit.path, unit.start, unit.end), 1):
            if number == 1 and not unit.start:
                line = line.removeprefix(BOM)
            if not line or line.isspace():
                continue
            place = f"{prefix}{number}"
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield reject(place, _fault(line, str(error)), line.decode("utf-8", "backslashreplace"))
                continue
            document = to_document(row, columns, place)
            if isinstance(document, Reject):
                yield reject(place, document.reason, line.decode("utf-8", "backslashreplace"))
            else:
                yield document
    except (Truncated, OSError) as error:
        yield reject(f"{prefix}{number + 1}", _io(error))


def _fault(line: bytes, message: str) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    return "broken line (surrogate)" if "surrogate" in message else "broken line"


def _io(error: Exception) -> str:
    return str(error) if isinstance(error, Truncated) else f"unreadable file ({type(error).__name__})"


def _parquet(unit: Unit, columns: Columns) -> Read:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(unit.path) as file:
            groups = range(unit.start, file.num_row_groups if unit.end is None else unit.end)
            number = sum(file.metadata.row_group(i).num_rows for i in range(unit.start))
            for batch in file.iter_batches(BATCH_ROWS, row_groups=list(groups)):
                for row in batch.to_pylist():
                    number += 1
                    document = to_document(row, columns, f"{unit.name}:{number}")
                    if isinstance(document, Reject):
                        yield reject(f"{unit.name}:{number}", document.reason, repr(row))
                    else:
                        yield document
    except (OSError, ValueError, pa.ArrowException) as error:
        yield reject(f"{unit.name}:{number + 1}", f"unreadable file ({type(error).__name__})")


def _text(unit: Unit, columns: Columns) -> Read:
    content = b""
    try:
        for chunk in chunks(unit.path):
            content += chunk
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        yield reject(unit.name, "not UTF-8", content.decode("utf-8", "backslashreplace"))
    except (Truncated, OSError) as error:
        yield reject(unit.name, _io(error), content.decode("utf-8", "backslashreplace"))
    else:
        if text.strip():
            yield Document(id=unit.name, text=text)
        else:
            yield reject(unit.name, "empty text")


def _unknown(unit: Unit, columns: Columns) -> Iterator[Rejected]:
    yield reject(unit.name, f"unknown kind of file ({unit.path.suffix or 'no suffix'})")


def _link(unit: Unit, columns: Columns) -> Iterator[Rejected]:
    yield reject(unit.name, "link that leaves the folder (follow_links is false)")


_READ = {"jsonl": _jsonl, "parquet": _parquet, "text": _text, "unknown": _unknown, "link": _link}

jsonl = Files("jsonl")
parquet = Files("parquet")
text = Files("text")
folder = Files("jsonl", "parquet", "text", name="folder")
