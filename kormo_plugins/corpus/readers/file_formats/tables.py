"""CSV and TSV: a declared or sniffed dialect, rows of the header's width; a wrong quotation mark affects one row.

Sniffing determines the delimiter (under which the first rows have equal width), whether quotation marks enclose fields
(in many TSV files they are ordinary characters, and one of them would swallow all lines up to the next), and whether
the first row names the columns that the recipe uses. Python's `csv` parses the rows.
"""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from pydantic import Field, field_validator

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.readers.file_formats.streams import Overlong

DELIMITERS = (",", "\t", ";", "|")
SNIFFED_LINES = 200
MAX_RECORD = 1 << 24
"""Characters after which an open quotation mark is considered wrong."""
QUOTES_FAIL = 0.25
AUTO = "auto"
NOT_TEXT = "not UTF-8"


class Table(Strict):
    """Dialect of CSV and TSV files; `auto` is detected for each file and logged."""

    delimiter: str = Field(default=AUTO, description="character between fields (`,`, `\\t`, `;`, `|`), or auto")
    quote: str = Field(
        default=AUTO, description='character that encloses fields, doubled inside one; none; or auto: `"` or none'
    )
    header: bool | Literal["auto"] = Field(
        default="auto",
        description="whether the first row holds the column names; false: columns are named 0, 1, 2, …; auto: true "
        "unless the recipe maps columns by such numbers",
    )

    @field_validator("delimiter", "quote")
    @classmethod
    def _one_character(cls, value: str) -> str:
        value = {"\\t": "\t", "tab": "\t", "none": ""}.get(value, value)
        if len(value) > 1 and value != AUTO:
            raise ValueError("must be one character, `none` or `auto`")
        return value


@dataclass(frozen=True, slots=True)
class Dialect:
    """The dialect of one file.

    Args:
        quote: "" for none.
        columns: names from the header, or numbers.
        header: whether the first row is the header.
    """

    delimiter: str
    quote: str
    columns: tuple[str, ...]
    header: bool

    def __str__(self) -> str:
        quotes = f"quoted by {self.quote}" if self.quote else "without quotation marks"
        names = (
            f"columns {', '.join(self.columns)}" if self.header else f"no header, columns 0 to {len(self.columns) - 1}"
        )
        return f"fields separated by {self.delimiter!r}, {quotes}; {names}"


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a table: its line number (from 1), its fields or the fault, and its text."""

    line: int
    fields: tuple[str, ...]
    fault: str
    raw: str


def sniff(head: list[str], table: Table, wanted: Iterable[str], name: str) -> Dialect:
    """Detects the dialect of a file from its first lines.

    Args:
        wanted: columns that the recipe uses; if empty, a first row of only numbers is not a header.
        name: file name; `.tsv` and `.tab` decide for tabs if the lines are ambiguous.
    """
    quotes = ('"', "") if table.quote == AUTO else (table.quote,)
    likely = "\t" if any(part in ("tsv", "tab") for part in name.lower().split(".")[1:]) else ","
    order = sorted(DELIMITERS, key=lambda delimiter: delimiter != likely)
    delimiters = order if table.delimiter == AUTO else [table.delimiter]
    choices = [(delimiter, quote) for delimiter in delimiters for quote in quotes]
    delimiter, quote = max(choices, key=lambda choice: _fit(head, *choice))  # the first of equal scores
    first = next((record.fields for record in records(head, delimiter, quote) if not record.fault), ())
    numbers = tuple(str(number) for number in range(len(first)))
    named = set(wanted) or {name for name in first if not _is_number(name)}
    by_number = named <= set(numbers) and first != numbers  # pandas writes 0, 1, 2, … above unnamed columns
    header = bool(table.header) if table.header != AUTO else not by_number
    return Dialect(delimiter, quote, first if header else numbers, header)


def _fit(head: list[str], delimiter: str, quote: str) -> float:
    """How well a dialect fits lines: the share of rows with the most common width, if that is more than one column.

    Stray quotation marks are common in TSV files. In other files they count as a fault, so the unquoted dialect must
    fit better by `QUOTES_FAIL`.
    """
    widths = Counter(0 if record.fault else len(record.fields) for record in records(head, delimiter, quote))
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
    return count / widths.total() - QUOTES_FAIL * (not quote and delimiter != "\t") if width > 1 else 0.0


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).removeprefix("-").isdecimal()


def table_rows(lines: Iterable[bytes], dialect: Dialect) -> Iterator[Record]:
    """The rows of a table below its header, without blank lines; `fault` describes an invalid row."""
    rows = records(map(_decoded, lines), dialect.delimiter, dialect.quote)
    for record in islice(rows, int(dialect.header), None):
        if not record.fault and len(record.fields) != len(dialect.columns):
            fault = f"{len(record.fields)} fields where there are {len(dialect.columns)} columns"
            record = Record(record.line, record.fields, fault, record.raw)
        yield record


def table_header(line: str, dialect: Dialect) -> tuple[str, ...]:
    """The column names in the first line of a table."""
    return next((record.fields for record in records([line], dialect.delimiter, dialect.quote)), ())


def _decoded(line: bytes) -> str:
    """Decodes a line; undecodable bytes become a lone surrogate, which `records` detects."""
    return "\udcff" if isinstance(line, Overlong) else line.decode("utf-8", "surrogateescape")


def records(lines: Iterable[str], delimiter: str, quote: str) -> Iterator[Record]:
    """Parses lines into rows. A row that ends badly returns all its lines except the first to the input."""
    source = _Lines(lines)
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD))
    reader = csv.reader(
        source,
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        strict=True,
    )
    while True:
        source.begin()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(source.line, (), f"broken row ({error})", source.give_back())
            continue
        if fields:
            raw = source.text()
            fault = NOT_TEXT if not raw.isascii() and _is_broken(raw) else ""
            yield Record(source.line, tuple(fields), fault, raw)


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


class _Lines:
    """An iterator over lines that remembers those of the current row, so that they can be pushed back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self._row: list[str] = []
        self._size = 0
        self.line = 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._size > MAX_RECORD:
            raise csv.Error("a quotation mark without its second")
        line = self._again.popleft() if self._again else next(self._lines)
        self._row.append(line)
        self._size += len(line)
        return line.removesuffix("\r") + "\n"

    def begin(self) -> None:
        """Starts a new row."""
        self.line += len(self._row)
        self._row, self._size = [], 0

    def text(self) -> str:
        """The lines of the row."""
        return "\n".join(self._row)

    def give_back(self) -> str:
        """Returns the first line of the row and pushes the others back."""
        first, *others = self._row or [""]
        self._again.extendleft(reversed(others))
        self._row = [first]
        return first
