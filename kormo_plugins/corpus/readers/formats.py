"""Units to documents, one function for each kind of file.

Text of any encoding and compression becomes a stream of UTF-8 first (`_stream`), so that JSON, CSV and text files know
of neither. Every row of a unit is yielded once, as a document or as a reject with its reason; so is a unit that cannot
be read to its end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

from kormo_plugins.corpus.readers import encodings, json_values, streams, tables
from kormo_plugins.corpus.readers.arrow import Row, arrow_rows, parquet_rows
from kormo_plugins.corpus.readers.columns import Columns, needed
from kormo_plugins.corpus.readers.json_values import NotJson, Repeated
from kormo_plugins.corpus.readers.paths import lookup
from kormo_plugins.corpus.readers.rows import from_row, rejected
from kormo_plugins.corpus.readers.streams import Damaged, Overlong
from kormo_plugins.corpus.readers.tables import Table
from kormo_plugins.corpus.readers.units import Unit
from kormo_plugins.corpus.step import Read, Rejected
from kormo_plugins.documents.document import Document

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How the files of a source are read; the fields are those of `FilesParams`."""

    columns: Columns
    encoding: str
    text_per_line: bool
    table: Table
    rows: str | None
    max_ratio: float
    max_row_bytes: int


def _guarded(read: Callable[[Unit, Options], Read]) -> Callable[[Unit, Options], Read]:
    """A unit that cannot be read to its end gives, after all that could be read, one reject more."""

    def guarded(unit: Unit, options: Options) -> Read:
        try:
            yield from read(unit, options)
        except Damaged as error:
            yield rejected(unit.file.name, str(error))
        except OSError as error:
            yield rejected(unit.file.name, f"unreadable file ({type(error).__name__})")

    return guarded


def _encoding(unit: Unit, options: Options) -> str:
    """The encoding of a unit's file.

    Raises:
        Damaged: it is `auto`, and not certain.
    """
    if options.encoding != encodings.AUTO:
        return options.encoding
    guess = encodings.detect(_bytes(unit, options))
    if guess.encoding is None:
        raise Damaged(guess.reason)
    if not unit.start:
        log.warning("%s: read as %s (encoding: auto)", unit.file.name, guess.encoding)
    return guess.encoding


def _bytes(unit: Unit, options: Options) -> Iterator[bytes]:
    return streams.chunks(unit.file.path, unit.file.member, max_ratio=options.max_ratio)


def _stream(unit: Unit, options: Options, encoding: str) -> Iterator[bytes]:
    """The file as UTF-8, without a byte order mark."""
    return encodings.to_utf8(_bytes(unit, options), encoding)


def _lines(unit: Unit, options: Options, encoding: str) -> Iterator[bytes]:
    """The lines of a unit as UTF-8."""
    if not unit.start and unit.end is None:
        yield from streams.lines(_stream(unit, options, encoding), options.max_row_bytes)
        return
    found = streams.lines_in_range(unit.file.path, unit.start, unit.end, options.max_row_bytes)
    for number, line in enumerate(found):
        if number == 0 and not unit.start:
            line = b"".join(encodings.to_utf8([line], encoding)) if not isinstance(line, Overlong) else line
        elif not isinstance(line, Overlong):
            line = encodings.line_to_utf8(line, encoding)
        yield line


def _prefix(unit: Unit) -> str:
    # Lines are counted from the start of the range: to know the number in the whole file would mean to read it all.
    return f"{unit.file.name}:" if not unit.start else f"{unit.file.name}@{unit.start}:"


def _noted(read: Read, options: Options, encoding: str) -> Read:
    """What is read, with the encoding that `auto` found."""
    if options.encoding != encodings.AUTO:
        return read
    return (_with_encoding(item, encoding) for item in read)


def _with_encoding(item: Document | Rejected, encoding: str) -> Document | Rejected:
    document = item.document if isinstance(item, Rejected) else item
    document.meta["encoding"] = encoding
    return item


def _readable(line: bytes) -> str:
    """A line as it is kept with its reject."""
    return line.decode("utf-8", "backslashreplace")


@_guarded
def _json(unit: Unit, options: Options) -> Read:
    encoding = _encoding(unit, options)
    if unit.start or unit.end is not None:
        pieces: Iterable[bytes] = _lines(unit, options, encoding)
    else:
        stream = _stream(unit, options, encoding)
        head = list(_head(stream))
        whole = chain(head, stream)
        divide = streams.lines if json_values.layout(b"".join(head)) == "lines" else json_values.values
        pieces = divide(whole, options.max_row_bytes)
    prefix = _prefix(unit)
    for number, piece in enumerate(pieces, 1):
        if piece and not piece.isspace():
            yield from _noted(_value(piece, f"{prefix}{number}", options, encoding), options, encoding)


def _head(stream: Iterator[bytes]) -> Iterator[bytes]:
    """The first pieces of a stream, enough to tell the layout by."""
    size = 0
    while size < json_values.HEAD and (piece := next(stream, None)) is not None:
        size += len(piece)
        yield piece


def _value(piece: bytes, place: str, options: Options, encoding: str) -> Read:
    """The documents of one JSON value: of an object, or of the list of rows within it."""
    raw = partial(_readable, piece)
    if isinstance(piece, Overlong):
        yield rejected(place, f"a row of more than {options.max_row_bytes:,} bytes (max_row_bytes)", raw())
        return
    try:
        value, strange = json_values.loads(piece)
    except NotJson as error:
        reason = str(error)
        yield rejected(place, _not(encoding) if reason == "not UTF-8" else reason, raw())
        return
    if options.rows is None:
        yield from_row(value, options.columns, place, raw, strange=strange)
        return
    rows = lookup(value, options.rows) if isinstance(value, dict) else None
    if not isinstance(rows, list):
        yield rejected(place, f"no list of rows at {options.rows!r}", raw())
        return
    for number, row in enumerate(rows, 1):
        yield from_row(row, options.columns, f"{place}:{number}", partial(repr, row), strange=strange)


def _not(encoding: str) -> str:
    return f"not {'UTF-8' if encoding == encodings.UTF8 else encoding}: another encoding, or damaged (encoding)"


@_guarded
def _text(unit: Unit, options: Options) -> Read:
    encoding = _encoding(unit, options)
    if not options.text_per_line:
        pieces: Iterable[bytes] = [_whole(_stream(unit, options, encoding), options.max_row_bytes)]
        yield from _noted(_texts(pieces, unit.file.name, options, encoding), options, encoding)
        return
    for number, line in enumerate(_lines(unit, options, encoding), 1):
        if line and not line.isspace():
            read = _texts([line.removesuffix(b"\r")], f"{_prefix(unit)}{number}", options, encoding)
            yield from _noted(read, options, encoding)


def _whole(stream: Iterator[bytes], limit: int) -> bytes:
    content: list[bytes] = []
    size = 0
    for piece in stream:
        content.append(piece)
        size += len(piece)
        if size > limit:
            return Overlong(content[0][:1000])
    return b"".join(content)


def _texts(pieces: Iterable[bytes], place: str, options: Options, encoding: str) -> Read:
    for piece in pieces:
        if isinstance(piece, Overlong):
            yield rejected(
                place, f"a text of more than {options.max_row_bytes:,} bytes (max_row_bytes)", _readable(piece)
            )
            continue
        try:
            text = piece.decode("utf-8")
        except UnicodeDecodeError:
            yield rejected(place, _not(encoding), _readable(piece))
            continue
        yield Document(id=place, text=text) if text.strip() else rejected(place, "empty text")


@_guarded
def _csv(unit: Unit, options: Options) -> Read:
    encoding = _encoding(unit, options)
    lines = _lines(unit, options, encoding)
    head = list(islice(lines, tables.SNIFFED_LINES))
    wanted = needed(options.columns)
    dialect = tables.sniff([_readable(line) for line in head], options.table, wanted, unit.file.name)
    log.warning("%s: %s", unit.file.name, dialect)
    twice = tuple(name for name in dialect.columns if dialect.columns.count(name) > 1)
    for record in tables.table_rows(chain(head, lines), dialect):
        place = f"{unit.file.name}:{record.line}"
        row = Repeated(zip(dialect.columns, record.fields, strict=False))
        row.keys_twice = twice
        if record.fault:
            reason = _not(encoding) if record.fault == "not UTF-8" else record.fault
            raw = record.raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            item: Document | Rejected = rejected(place, reason, raw, str(row.get(options.columns.id) or ""))
        else:
            item = from_row(row, options.columns, place, partial(str, record.raw), strange=bool(twice))
        yield from _noted(iter([item]), options, encoding)


@_guarded
def _parquet(unit: Unit, options: Options) -> Read:
    columns = options.columns
    wanted = [*needed(columns), columns.id]
    yield from _table(parquet_rows(unit.file.path, wanted, columns.id, unit.start, unit.end), unit, columns)


@_guarded
def _arrow(unit: Unit, options: Options) -> Read:
    columns = options.columns
    wanted = [*needed(columns), columns.id]
    yield from _table(arrow_rows(unit.file.path, wanted, columns.id), unit, columns)


def _table(rows: Iterator[Row], unit: Unit, columns: Columns) -> Read:
    for row in rows:
        place = f"{unit.file.name}:{row.number}"
        if row.values is None:
            yield rejected(place, row.fault, "", row.name)
        else:
            yield from_row(row.values, columns, place, partial(repr, row.values))


FORMATS: dict[str, Callable[[Unit, Options], Read]] = {
    "jsonl": _json,
    "json": _json,
    "text": _text,
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
}
"""Kind of file -> its documents."""
