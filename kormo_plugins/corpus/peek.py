"""A look at somebody's files: what they hold, and a source block for a dataset recipe that reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from kormo_plugins.corpus.readers import encodings, files, guess, streams, tables
from kormo_plugins.corpus.readers.columns import needed
from kormo_plugins.corpus.readers.files import Files, FilesParams
from kormo_plugins.corpus.readers.find import Found
from kormo_plugins.corpus.readers.formats import Raw, rows_of
from kormo_plugins.corpus.readers.units import Unit
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.document import Document

READERS: dict[str, Files] = {
    "jsonl": files.jsonl,
    "json": files.json,
    "csv": files.csv,
    "text": files.text,
    "parquet": files.parquet,
    "arrow": files.arrow,
}
"""Kind of file -> the reader of that kind alone."""


BINARY = ("parquet", "arrow")
LOOKED_AT = 12
"""Files of a folder that are looked at: the largest one for its format, all of them for encoding and columns."""


@dataclass(frozen=True)
class Column:
    """A column of the rows that were looked at: its types, in how many rows it is filled, and its first value."""

    name: str
    kind: str
    filled: int
    example: object


@dataclass(frozen=True)
class Look:
    """What was found.

    Args:
        kinds: number of files of each kind.
        faults: name -> why it cannot be read.
        file: the one whose format was looked at.
        files: how many were looked at for their encodings and columns.
        notes: what was found out about it (encoding, dialect, where the rows are).
        rows: how many rows of it were looked at.
        columns: of them; none of a text.
        reader: keys of the source's `reader`.
        documents, rejects: what the reader makes of these rows; counts of rejects by reason.
    """

    kinds: dict[str, int]
    faults: dict[str, str]
    file: str
    files: int
    notes: tuple[str, ...]
    rows: int
    columns: tuple[Column, ...]
    reader: dict[str, Any]
    documents: tuple[Document, ...]
    rejects: dict[str, int]


def look(path: Path, rows: int = 200) -> Look:
    """Looks at the first `rows` rows of a file; of a folder, at the largest file of its commonest kind, and at others
    of that kind for what they have otherwise.

    Raises:
        KormoError: nothing is there, or nothing that can be read.
    """
    found = files.folder.find(FilesParams(path=path))
    kinds = Counter(file.kind for file in found if file.kind)
    first = max((file for file in found if file.kind), key=lambda file: (kinds[file.kind], file.path.stat().st_size))
    reader: dict[str, object] = {"name": first.kind if len(kinds) == 1 else "folder", "path": str(path)}
    notes: list[str] = []
    same = sorted((file for file in found if file.kind == first.kind and file != first), key=lambda file: file.name)
    others = same[:: max(1, -(-len(same) // (LOOKED_AT - 1)))]  # from all over the folder: years lie side by side
    raw = _described(first, reader, notes, rows)
    raw += _compared(first, others, reader, notes, raw, max(1, rows // (len(others) + 1)))
    documents, rejects = _tried([first, *others], reader, rows)
    return Look(
        kinds=dict(kinds),
        faults={file.name: file.fault for file in found if not file.kind},
        file=first.name,
        files=1 + len(others),
        notes=tuple(notes),
        rows=len(raw),
        columns=tuple(_columns(_objects(raw))),
        reader=reader,
        documents=tuple(documents),
        rejects=rejects,
    )


def _described(file: Found, reader: dict[str, object], notes: list[str], rows: int) -> list[Raw]:
    """The first rows of a file; adds to `reader` and `notes` what they say of how it is to be read."""
    if (encoding := _encoding(file, notes)) != encodings.UTF8:
        reader["encoding"] = encoding
    raw = list(islice(_rows(file, reader), rows))
    if file.kind in ("json", "jsonl") and len(raw) == 1 and (inner := _inner(raw[0])):
        reader["rows"] = inner
        notes.append(f"the rows are the list {inner!r} of an object")
        raw = list(islice(_rows(file, reader), rows))
    if file.kind == "text":
        notes += _by_line(raw)
    elif values := _objects(raw):
        if columns := guess.guess(values):
            reader["columns"] = columns
        else:
            notes.append("no column looks like a text: say which it is (columns: {text: …})")
    if file.kind == "csv":
        notes.append(_dialect(file, reader))
    return raw


def _compared(
    first: Found, others: list[Found], reader: dict[str, object], notes: list[str], raw: list[Raw], rows: int
) -> list[Raw]:
    """The first rows of the other files; adds to `reader` and `notes` what they have otherwise than the first one."""
    used = str(reader.get("encoding", encodings.UTF8))
    names: dict[str, list[str]] = {used: [first.name]}
    more: list[Raw] = []
    here = {name for value in _objects(raw) for name in value}
    for file in others:
        told: list[str] = []
        found = _encoding(file, told)
        sure = file.kind in BINARY or told[0] == f"encoding: {found}"
        names.setdefault(found if sure else "not certain", []).append(file.name)
        mine = list(islice(_rows(file, {**reader, "encoding": found}), rows))
        columns = {name for value in _objects(mine) for name in value}
        if columns and here and columns != here:
            extra, less = sorted(columns - here), sorted(here - columns)
            said = [f"has {', '.join(map(repr, extra))} too"] * bool(extra)
            said += [f"lacks {', '.join(map(repr, less))}"] * bool(less)
            notes.append(f"{file.name} {' and '.join(said)}")
        more += mine
    if len(names) > 1:
        told = [f"{encoding} ({len(files):,}, as {files[0]})" for encoding, files in names.items()]
        notes.append(f"encodings of {1 + len(others):,} files: {', '.join(told)}")
        reader["encoding"] = encodings.AUTO
    return more


def _objects(raw: list[Raw]) -> list[Mapping[str, object]]:
    return [one.value for one in raw if isinstance(one.value, Mapping)]


def _params(reader: Mapping[str, object]) -> FilesParams:
    return FilesParams.model_validate({key: value for key, value in reader.items() if key != "name"})


def _rows(file: Found, reader: Mapping[str, object]) -> Iterator[Raw]:
    """The rows with all their columns."""
    return rows_of(Unit(file), replace(_params(reader).options, columns=None))


def _encoding(file: Found, notes: list[str]) -> str:
    if file.kind in BINARY:
        return encodings.UTF8
    try:
        encodings.canonical(encodings.AUTO)
    except ValueError as error:
        notes.append(f"encoding: taken for utf-8 ({error})")
        return encodings.UTF8
    found = encodings.detect(streams.chunks(file.path, file.member))
    notes.append(f"encoding: {found.encoding}" if found.encoding else found.reason)
    return found.encoding or encodings.UTF8


def _inner(raw: Raw) -> str | None:
    return (
        guess.only_list(raw.value)
        if isinstance(raw.value, Mapping) and not guess.guess([raw.value]).get("messages")
        else None
    )


def _by_line(raw: list[Raw]) -> list[str]:
    lines = str(raw[0].value).splitlines()[:50] if raw and not raw[0].fault else []
    return ["each line looks like a text of its own: `text_per: line` makes it one"] if guess.repeats(lines) else []


def _dialect(file: Found, reader: Mapping[str, object]) -> str:
    params = _params(reader)
    stream = encodings.to_utf8(streams.chunks(file.path, file.member), params.encoding)
    head = islice(streams.lines(stream, params.max_row_bytes), tables.SNIFFED_LINES)
    lines = [line.decode("utf-8", "backslashreplace") for line in head]
    return str(tables.sniff(lines, params.table, needed(params.columns), file.name))


def _columns(rows: list[Mapping[str, object]]) -> Iterator[Column]:
    values: dict[str, list[object]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    for name, found in values.items():
        filled = [value for value in found if value is not None and value != ""]
        yield Column(name, guess.kind(found), len(filled), filled[0] if filled else None)


def _tried(found: list[Found], reader: Mapping[str, object], rows: int) -> tuple[list[Document], dict[str, int]]:
    """What the proposed block makes of the first rows of some files."""
    params = _params(reader)
    read, each = READERS.get(str(reader["name"]), files.folder), max(1, rows // len(found))
    items = [item for file in found for item in islice(read(params.model_copy(update={"path": file.path})), each)]
    rejects = Counter(item.reason for item in items if isinstance(item, Rejected))
    return [item for item in items if isinstance(item, Document)], dict(rejects.most_common())
