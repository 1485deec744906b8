"""Inspects files: reports their contents, and proposes a source block of a dataset recipe that reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from kormo_plugins.corpus.peek import columns_apart
from kormo_plugins.corpus.peek.findings import Column, Look, Looks
from kormo_plugins.corpus.readers import files
from kormo_plugins.corpus.readers.file_formats import encodings, formats, streams, tables
from kormo_plugins.corpus.readers.file_formats.formats import Raw, rows_of
from kormo_plugins.corpus.readers.files import Files, FilesParams
from kormo_plugins.corpus.readers.find import Found
from kormo_plugins.corpus.readers.mapping import guess
from kormo_plugins.corpus.readers.mapping.columns import needed
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
"""Kind of file -> the reader for that kind only."""


BINARY = ("parquet", "arrow")
LOOKED_AT = 12
"""Maximum number of files per kind that are inspected: the largest for its format, all for encodings and columns."""


def look(path: Path, rows: int = 200) -> Looks:
    """Inspects the first `rows` rows of a file; in a folder, of the largest file of each kind, and of other files of
    that kind to find differences.

    Raises:
        KormoError: the path does not exist, or holds nothing that can be read.
    """
    files_found = files.folder.find(FilesParams(path=path))
    kinds = Counter(file.kind for file in files_found if file.kind)
    of_kind = {kind: [file for file in files_found if file.kind == kind] for kind, _ in kinds.most_common()}
    faults = {file.name: file.fault for file in files_found if not file.kind}
    with _without_log():
        looks, samples = [], []
        for kind, same in of_kind.items():
            groups = columns_apart.groups(_sample(same), partial(_first_values, rows=rows))
            for group in groups:
                one = _look(kind, group, path, rows)
                looks.append(columns_apart.placed(one, group, same, len(groups)) if len(groups) > 1 else one)
                samples.append(group)
        if len(looks) > 1 and (reader := _common(looks, path)) is not None:
            looks = [_tried(_joined(looks, reader), [file for group in samples for file in group], rows)]
        else:
            tried = zip(looks, samples, strict=True)
            looks = [_tried(_alone(one, kinds, group[0], path), group, rows) for one, group in tried]
    return Looks(kinds=dict(kinds), faults=faults, sources=tuple(looks))


@contextmanager
def _without_log() -> Iterator[None]:
    """Keeps readers from logging what they found out about a file each time it is opened: the notes say it once."""
    disabled, formats.log.disabled = formats.log.disabled, True
    try:
        yield
    finally:
        formats.log.disabled = disabled


def _first_values(file: Found, rows: int) -> list[Mapping[str, object]]:
    """The first rows of a file that have columns."""
    if file.kind == "text":
        return []
    return _objects(list(islice(_rows(file, {"encoding": _encoding(file, []), "path": str(file.path)}), rows)))


def _sample(same: list[Found]) -> list[Found]:
    """The largest of some files, and others from all over the folder, since similar files are often adjacent."""
    first = max(same, key=_size)
    others = sorted((file for file in same if file != first), key=lambda file: file.name)
    return [first, *others[:: max(1, -(-len(others) // (LOOKED_AT - 1)))]]


def _size(file: Found) -> int:
    return file.size if file.member is not None else file.path.stat().st_size


def _look(kind: str, sample: list[Found], path: Path, rows: int) -> Look:
    """Inspects files of one kind; does not try the reader yet."""
    reader: dict[str, object] = {"name": kind, "path": str(path)}
    notes: list[str] = []
    first, *others = sample
    raw = _described(first, reader, notes, rows)
    raw += _compared(first, others, reader, notes, raw, max(1, rows // (len(others) + 1)))
    columns = tuple(_columns(_objects(raw)))
    return Look((kind,), first.name, len(sample), tuple(notes), len(raw), columns, reader)


def _common(looks: list[Look], path: Path) -> dict[str, object] | None:
    """The keys of a reader that reads all of several kinds correctly; None if no reader does."""
    rows = [one for one in looks if one.kinds != ("text",)]  # text files have no columns
    keys = [{key: value for key, value in one.reader.items() if key not in ("name", "encoding")} for one in rows]
    if not all(one == keys[0] and "columns" in one for one in keys):
        return None
    encodings_used = {one.reader.get("encoding", encodings.UTF8) for one in looks if one.kinds[0] not in BINARY}
    encoding = (
        encodings_used.pop() if len(encodings_used) == 1 else encodings.AUTO if encodings_used else encodings.UTF8
    )
    kept = {"encoding": encoding} if encoding != encodings.UTF8 else {}
    return {"name": "folder", "path": str(path), **kept, **keys[0]}


def _joined(looks: list[Look], reader: dict[str, object]) -> Look:
    notes = tuple(f"{one.kinds[0]}: {note}" for one in looks for note in one.notes)
    columns = {column.name: column for one in reversed(looks) for column in one.columns}
    return Look(
        kinds=tuple(one.kinds[0] for one in looks),
        file=", ".join(one.file for one in looks),
        files=sum(one.files for one in looks),
        notes=notes,
        rows=sum(one.rows for one in looks),
        columns=tuple(columns.values()),
        reader=reader,
    )


def _alone(one: Look, kinds: Mapping[str, int], file: Found, path: Path) -> Look:
    """A source for one of several kinds: restricted to a single file if possible, so that other files are not
    rejected."""
    (kind,) = one.kinds
    if one.reader["path"] != str(path):
        return one
    if len(kinds) > 1 and kinds[kind] == 1 and file.member is None:
        return replace(one, reader={**one.reader, "path": str(file.path)})
    if kind == "json" and "jsonl" in kinds:
        return replace(
            one, notes=(*one.notes, "this reader would read the .jsonl files too: move them into another folder")
        )
    return one


def _described(file: Found, reader: dict[str, object], notes: list[str], rows: int) -> list[Raw]:
    """The first rows of a file; adds what they show about the format to `reader` and `notes`."""
    if (encoding := _encoding(file, notes)) != encodings.UTF8:
        reader["encoding"] = encoding
    raw = list(islice(_rows(file, reader), rows))
    if file.kind in ("json", "jsonl") and len(raw) == 1 and (inner := _inner(raw[0])):
        reader["rows"] = inner
        notes.append(f"the rows are in the list {inner!r} of an object")
        raw = list(islice(_rows(file, reader), rows))
    if file.kind == "text":
        notes += _by_line(raw)
    elif values := _objects(raw):
        if columns := guess.guess(values):
            reader["columns"] = columns
        else:
            notes.append("no column looks like text: name it (columns: {text: …})")
    if file.kind == "csv":
        notes.append(str(_dialect(file, reader)))
    return raw


def _compared(
    first: Found, others: list[Found], reader: dict[str, object], notes: list[str], raw: list[Raw], rows: int
) -> list[Raw]:
    """The first rows of the other files; adds their differences from the first file to `reader` and `notes`."""
    used = str(reader.get("encoding", encodings.UTF8))
    names: dict[str, list[str]] = {used: [first.name]}
    more: list[Raw] = []
    first_columns = {name for value in _objects(raw) for name in value}
    for file in others:
        notes_of_file: list[str] = []
        encoding_found = _encoding(file, notes_of_file)
        certain = file.kind in BINARY or notes_of_file[0] == f"encoding: {encoding_found}"
        names.setdefault(encoding_found if certain else "not certain", []).append(file.name)
        own = {"encoding": encoding_found}
        rows_of_file = list(islice(_rows(file, {**reader, **own}), rows))
        columns = {name for value in _objects(rows_of_file) for name in value}
        if columns and first_columns and columns != first_columns:
            extra, less = sorted(columns - first_columns), sorted(first_columns - columns)
            differences = [f"also has {', '.join(map(repr, extra))}"] * bool(extra)
            differences += [f"lacks {', '.join(map(repr, less))}"] * bool(less)
            notes.append(f"{file.name} {' and '.join(differences)}")
        if file.kind == "csv" and _differ(_dialect(first, reader), other := _dialect(file, {**reader, **own})):
            notes.append(f"{file.name}: {other}")
        more += rows_of_file
    if len(names) > 1:
        notes_of_file = [f"{encoding} ({len(files):,}, as {files[0]})" for encoding, files in names.items()]
        notes.append(f"encodings of {1 + len(others):,} files: {', '.join(notes_of_file)}")
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
        notes.append(f"encoding: assumed to be utf-8 ({error})")
        return encodings.UTF8
    detected = encodings.detect(streams.chunks(file.path, file.member))
    notes.append(f"encoding: {detected.encoding}" if detected.encoding else detected.reason)
    return detected.encoding or encodings.UTF8


def _inner(raw: Raw) -> str | None:
    return (
        guess.only_list(raw.value)
        if isinstance(raw.value, Mapping) and not guess.guess([raw.value]).get("messages")
        else None
    )


def _by_line(raw: list[Raw]) -> list[str]:
    lines = str(raw[0].value).splitlines()[:50] if raw and not raw[0].fault else []
    return (
        ["each line looks like a separate text: `text_per: line` makes each line a document"]
        if guess.repeats(lines)
        else []
    )


def _dialect(file: Found, reader: Mapping[str, object]) -> tables.Dialect:
    params = _params(reader)
    stream = encodings.to_utf8(streams.chunks(file.path, file.member), params.encoding)
    head = islice(streams.lines(stream, params.max_row_bytes), tables.SNIFFED_LINES)
    lines = [line.decode("utf-8", "backslashreplace") for line in head]
    return tables.sniff(lines, params.table, needed(params.columns), file.name)


def _differ(one: tables.Dialect, other: tables.Dialect) -> bool:
    """Whether two files are written differently, whatever their columns are called."""
    return (one.delimiter, one.quote, one.header) != (other.delimiter, other.quote, other.header)


def _columns(rows: list[Mapping[str, object]]) -> Iterator[Column]:
    values: dict[str, list[object]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    for name, samples in values.items():
        filled = [value for value in samples if value is not None and value != ""]
        yield Column(name, guess.kind(samples), len(filled), filled[0] if filled else None)


def _tried(one: Look, sample: list[Found], rows: int) -> Look:
    """The findings with the result of reading the first rows of some files through the proposed source."""
    params = _params(one.reader)
    read, each = READERS.get(str(one.reader["name"]), files.folder), max(1, rows // len(sample))
    items = [item for file in sample for item in islice(read(params.model_copy(update={"path": file.path})), each)]
    rejects = Counter(item.reason for item in items if isinstance(item, Rejected))
    documents = tuple(item for item in items if isinstance(item, Document))
    return replace(one, documents=documents, rejects=dict(rejects.most_common()))
