"""Converts units to rows, with one function per file kind, and rows to documents.

Text of any encoding and compression is first converted to a UTF-8 stream (`_stream`), so that the JSON, CSV and text
parsers handle neither. Every row of a unit is yielded once, intact or with its fault; a unit that cannot be read to its
end yields one more row with that fault.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice

from kormo_plugins.corpus.readers.file_formats import encodings, json_values, streams, tables
from kormo_plugins.corpus.readers.file_formats.arrow import Row, arrow_rows, parquet_rows
from kormo_plugins.corpus.readers.file_formats.json_values import NotJson, Repeated
from kormo_plugins.corpus.readers.file_formats.streams import Damaged, Overlong
from kormo_plugins.corpus.readers.file_formats.tables import Dialect, Table
from kormo_plugins.corpus.readers.mapping.columns import Columns, needed
from kormo_plugins.corpus.readers.mapping.mapped import unmapped_names
from kormo_plugins.corpus.readers.mapping.paths import lookup
from kormo_plugins.corpus.readers.rows import from_row, rejected
from kormo_plugins.corpus.readers.units import Unit
from kormo_plugins.corpus.step import Read, Rejected
from kormo_plugins.documents.document import Document

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How the files of a source are read; the fields are those of `FilesParams`.

    Args:
        columns: None: all of them, to inspect a file without a recipe.
    """

    columns: Columns | None
    encoding: str
    text_per_line: bool
    table: Table
    rows: str | None
    max_ratio: float
    max_row_bytes: int


@dataclass(frozen=True, slots=True)
class Raw:
    """A row as stored in its file.

    Args:
        place: file and line, or row number.
        value: the row; the text for a text file.
        fault: why the row is invalid; becomes the reason of its reject.
        text: returns the row as text, for the reject.
        name: its own id, if the row is invalid but the id is known.
        strange: the row may contain repeated keys or lone surrogates.
    """

    place: str
    value: object = None
    fault: str = ""
    text: Callable[[], str] = str
    name: str = ""
    strange: bool = False


def rows_of(unit: Unit, options: Options) -> Iterator[Raw]:
    """The rows of a unit; if it cannot be read to its end, followed by a row with that fault."""
    try:
        yield from _ROWS[unit.file.kind](unit, options)
    except Damaged as error:
        yield Raw(unit.file.name, fault=str(error))
    except OSError as error:
        yield Raw(unit.file.name, fault=f"unreadable file ({type(error).__name__})")


def documents_of(unit: Unit, options: Options) -> Read:
    """The documents of a unit, and a reject for each invalid row."""
    columns = options.columns or Columns()
    as_document = _text_document if unit.file.kind == "text" else partial(_row_document, columns=columns)
    if options.encoding != encodings.AUTO or unit.file.kind in ("parquet", "arrow"):
        yield from (as_document(raw) for raw in rows_of(unit, options))
        return
    try:
        guess = encodings.detect(_bytes(unit, options))
    except OSError as error:
        guess = encodings.Guess(None, f"unreadable file ({type(error).__name__})")
    if guess.encoding is None:
        yield rejected(unit.file.name, guess.reason)
        return
    if not unit.start:
        log.warning("%s: read as %s (encoding: auto)", unit.file.name, guess.encoding)
    for raw in rows_of(unit, replace(options, encoding=guess.encoding)):
        item = as_document(raw)
        (item.document if isinstance(item, Rejected) else item).meta["encoding"] = guess.encoding
        yield item


def _row_document(raw: Raw, columns: Columns) -> Document | Rejected:
    if raw.fault:
        return rejected(raw.place, raw.fault, raw.text(), raw.name)
    return from_row(raw.value, columns, raw.place, raw.text, strange=raw.strange)


def _text_document(raw: Raw) -> Document | Rejected:
    if raw.fault:
        return rejected(raw.place, raw.fault, raw.text())
    text = str(raw.value)
    return Document(id=raw.place, text=text) if text.strip() else rejected(raw.place, "empty text")


def _bytes(unit: Unit, options: Options) -> Iterator[bytes]:
    return streams.chunks(unit.file.path, unit.file.member, max_ratio=options.max_ratio)


def _stream(unit: Unit, options: Options) -> Iterator[bytes]:
    """The file as UTF-8, without a byte order mark."""
    return encodings.to_utf8(_bytes(unit, options), options.encoding)


def _lines(unit: Unit, options: Options) -> Iterator[bytes]:
    """The lines of a unit as UTF-8."""
    if not unit.start and unit.end is None:
        yield from streams.lines(_stream(unit, options), options.max_row_bytes)
        return
    lines = streams.lines_in_range(unit.file.path, unit.start, unit.end, options.max_row_bytes)
    for number, line in enumerate(lines):
        if isinstance(line, Overlong):
            yield line
        elif number == 0 and not unit.start:
            yield b"".join(encodings.to_utf8([line], options.encoding))
        else:
            yield encodings.line_to_utf8(line, options.encoding)


def _prefix(unit: Unit) -> str:
    # Line numbers count from the start of the range; the number in the whole file would require reading all of it.
    return f"{unit.file.name}:" if not unit.start else f"{unit.file.name}@{unit.start}:"


def _readable(line: bytes) -> str:
    """A line as stored in its reject."""
    return line.decode("utf-8", "backslashreplace")


def _not(encoding: str) -> str:
    return f"not {'UTF-8' if encoding == encodings.UTF8 else encoding}: another encoding, or damaged (encoding)"


def _too_long(what: str, place: str, piece: bytes, options: Options) -> Raw:
    fault = f"a {what} of more than {options.max_row_bytes:,} bytes (max_row_bytes)"
    return Raw(place, fault=fault, text=partial(_readable, piece))


def _json(unit: Unit, options: Options) -> Iterator[Raw]:
    if unit.start or unit.end is not None:
        pieces = _lines(unit, options)
    else:
        stream = _stream(unit, options)
        head = list(_head(stream))
        divide = streams.lines if json_values.layout(b"".join(head)) == "lines" else json_values.values
        pieces = divide(chain(head, stream), options.max_row_bytes)
    prefix = _prefix(unit)
    for number, piece in enumerate(pieces, 1):
        if piece and not piece.isspace():
            yield from _value(piece, f"{prefix}{number}", options)


def _head(stream: Iterator[bytes]) -> Iterator[bytes]:
    """The first pieces of a stream, enough to determine the layout."""
    size = 0
    while size < json_values.HEAD and (piece := next(stream, None)) is not None:
        size += len(piece)
        yield piece


def _value(piece: bytes, place: str, options: Options) -> Iterator[Raw]:
    """The rows of one JSON value: the value itself, or the list of rows inside it."""
    raw = partial(_readable, piece)
    if isinstance(piece, Overlong):
        yield _too_long("row", place, piece, options)
        return
    try:
        value, strange = json_values.loads(piece)
    except NotJson as error:
        reason = str(error)
        yield Raw(place, fault=_not(options.encoding) if reason == json_values.NOT_UTF8 else reason, text=raw)
        return
    if options.rows is None:
        yield Raw(place, value, text=raw, strange=strange)
        return
    rows = lookup(value, options.rows) if isinstance(value, dict) else None
    if not isinstance(rows, list):
        yield Raw(place, fault=f"no list of rows at {options.rows!r}", text=raw)
        return
    for number, row in enumerate(rows, 1):
        yield Raw(f"{place}:{number}", row, text=partial(repr, row), strange=strange)


def _text(unit: Unit, options: Options) -> Iterator[Raw]:
    if not options.text_per_line:
        whole = _whole(_stream(unit, options), options.max_row_bytes)
        yield _decoded(whole, unit.file.name, options)
        return
    for number, line in enumerate(_lines(unit, options), 1):
        if line and not line.isspace():
            yield _decoded(line, f"{_prefix(unit)}{number}", options)


def _whole(stream: Iterator[bytes], limit: int) -> bytes:
    content: list[bytes] = []
    size = 0
    for piece in stream:
        content.append(piece)
        size += len(piece)
        if size > limit:
            return Overlong(content[0][:1000])
    return b"".join(content)


def _decoded(piece: bytes, place: str, options: Options) -> Raw:
    if isinstance(piece, Overlong):
        return _too_long("text", place, piece, options)
    try:
        text = piece.decode("utf-8")
    except UnicodeDecodeError:
        return Raw(place, fault=_not(options.encoding), text=partial(_readable, piece))
    return Raw(place, text.removesuffix("\r") if options.text_per_line else text)


def _csv(unit: Unit, options: Options) -> Iterator[Raw]:
    lines = _lines(unit, options)
    head = list(islice(lines, tables.SNIFFED_LINES))
    wanted = needed(options.columns) if options.columns is not None else ()
    dialect = tables.sniff([_readable(line) for line in head], options.table, wanted, unit.file.name)
    if dialect.columns:
        log.warning("%s: %s", unit.file.name, _described(head, dialect, options))
    name = options.columns.id if options.columns is not None else ""
    twice = tuple(column for column in dialect.columns if dialect.columns.count(column) > 1)
    for record in tables.table_rows(chain(head, lines), dialect):
        row = Repeated(zip(dialect.columns, record.fields, strict=False))
        row.keys_twice = twice
        yield Raw(
            f"{unit.file.name}:{record.line}",
            row,
            fault=_not(options.encoding) if record.fault == tables.NOT_TEXT else record.fault,
            text=partial(_printable, record.raw),
            name=str(row.get(name) or ""),
            strange=bool(twice),
        )


def _described(head: list[bytes], dialect: Dialect, options: Options) -> str:
    """The dialect for the log; a header that is not UTF-8 is shown in its likely encoding."""
    if options.encoding != encodings.UTF8 or not dialect.header:
        return str(dialect)
    encoding = encodings.likelier(head)
    if encoding == encodings.UTF8:
        return str(dialect)
    if not encoding:
        return f"{replace(dialect, columns=('?',))}: not UTF-8 (set `encoding` to its name, or to auto)"
    names = tables.table_header(head[0].decode(encoding, "backslashreplace"), dialect)
    return f"{replace(dialect, columns=names)}: {encoding}, not UTF-8 (set `encoding` to {encoding}, or to auto)"


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _parquet(unit: Unit, options: Options) -> Iterator[Raw]:
    read = partial(parquet_rows, unit.file.path, start=unit.start, end=unit.end)
    yield from _table(read, unit, options.columns)


def _arrow(unit: Unit, options: Options) -> Iterator[Raw]:
    yield from _table(partial(arrow_rows, unit.file.path), unit, options.columns)


def _table(read: Callable[..., Iterator[Row]], unit: Unit, columns: Columns | None) -> Iterator[Raw]:
    """The rows of a file with a schema: unmapped columns are found from the schema, before any row is read."""
    if columns is None:
        rows = read(wanted=None, name="", refused=lambda names: "")
    else:
        wanted = {*needed(columns), *columns.mapped}
        rows = read(wanted=wanted, name=columns.id, refused=partial(unmapped_names, columns=columns))
    for row in rows:
        text = partial(repr, row.values) if row.values is not None else str
        yield Raw(f"{unit.file.name}:{row.number}", row.values, fault=row.fault, text=text, name=row.name)


_ROWS: dict[str, Callable[[Unit, Options], Iterator[Raw]]] = {
    "jsonl": _json,
    "json": _json,
    "text": _text,
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
}
"""Kind of file -> its rows."""
