"""Rows of Parquet and Arrow files: reads only the requested columns, and one bad value rejects only its row.

A batch is converted as a whole. If that fails (text that is not UTF-8, a date outside Python's range), its rows are
converted one by one, and failing rows become rejects with their ids. If the file itself cannot be decoded, each row
that its metadata announced is reported as lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

Refused = Callable[[list[str]], str]
BATCH_ROWS = 1024
"""Rows per batch."""
ARROW_MAGIC = b"ARROW1"
"""Magic bytes of an Arrow file; an Arrow stream, as `datasets` writes it, lacks them."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row (None if it could not be converted), its number from 1, the fault, and its id if known."""

    number: int
    values: dict[str, object] | None
    fault: str = ""
    name: str = ""


def parquet_rows(
    path: Path, wanted: set[str] | None, name: str, refused: Refused, start: int = 0, end: int | None = None
) -> Iterator[Row]:
    """The rows of a range of row groups of a Parquet file.

    Args:
        wanted: columns to read, namely those at the root of each path; None: all.
        name: column of the row's id.
        refused: returns, given the names of all columns, why no row can be used, or "".
        start, end: range of row groups; end None: to the last.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = total = 0
    try:
        with pq.ParquetFile(path) as file:
            groups = list(range(start, file.num_row_groups if end is None else end))
            number = sum(file.metadata.row_group(i).num_rows for i in range(start))
            total = number + sum(file.metadata.row_group(i).num_rows for i in groups)
            names = file.schema_arrow.names
            columns = _present(names, wanted)
            fault = refused(names)
            for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns) if columns else ():
                for row in rows_of(batch, number, name, fault):
                    number = row.number
                    yield row
            for bare in range(number + 1, total + 1):  # no requested column exists: `to_document` reports it
                yield Row(bare, {}, fault)
    except (OSError, ValueError, pa.ArrowException) as error:
        yield from _lost(number, total, error)


def arrow_rows(path: Path, wanted: set[str] | None, name: str, refused: Refused) -> Iterator[Row]:
    """The rows of a memory-mapped Arrow file or stream; arguments as for `parquet_rows`."""
    import pyarrow as pa

    number = 0
    try:
        with _batches(path) as (names, batches):
            columns = _present(names, wanted)
            fault = refused(names)
            for batch in batches:
                for begin in range(0, batch.num_rows, BATCH_ROWS):
                    for row in rows_of(batch.select(columns).slice(begin, BATCH_ROWS), number, name, fault):
                        number = row.number
                        yield row
    except (OSError, ValueError, pa.ArrowException) as error:
        yield from _lost(number, 0, error)


@contextmanager
def _batches(path: Path) -> Iterator[tuple[list[str], Iterator[pa.RecordBatch]]]:
    import pyarrow as pa

    with path.open("rb") as file:
        is_file = file.read(len(ARROW_MAGIC)) == ARROW_MAGIC
    with pa.memory_map(str(path)) as source:
        if is_file:
            reader = pa.ipc.open_file(source)
            yield reader.schema.names, (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            stream = pa.ipc.open_stream(source)
            yield stream.schema.names, iter(stream)


def _present(names: list[str], wanted: set[str] | None) -> list[str]:
    """The columns of a file that are read, without repetitions, in the file's order."""
    return [name for name in names if wanted is None or name in wanted]


def rows_of(batch: pa.RecordBatch, before: int, name: str, fault: str) -> Iterator[Row]:
    """The rows of a batch, numbered from `before + 1`; with `fault`, none of them is usable."""
    try:
        values = batch.to_pylist()
    except (ValueError, OverflowError, UnicodeDecodeError, batch_errors()):
        for index in range(batch.num_rows):
            row = _row(batch.slice(index, 1), before + index + 1, name)
            yield replace(row, fault=fault or row.fault)
    else:
        for number, row in enumerate(values, before + 1):
            own = row.get(name) if fault else None
            yield Row(number, row, fault, "" if own is None else str(own))


def batch_errors() -> type[Exception]:
    """The exceptions that pyarrow raises for invalid values."""
    import pyarrow as pa

    found: type[Exception] = pa.ArrowException
    return found


def _row(batch: pa.RecordBatch, number: int, name: str) -> Row:
    """Converts one row, value by value."""
    values: dict[str, object] = {}
    fault = ""
    for column in batch.schema.names:
        try:
            values[column] = batch.column(column)[0].as_py()
        except UnicodeDecodeError:
            fault = fault or f"column {column!r} is not UTF-8"
        except (ValueError, OverflowError, batch_errors()):
            fault = fault or f"column {column!r} cannot be converted ({batch.column(column).type})"
    own = values.get(name)
    return Row(number, None if fault else values, fault, "" if own is None else str(own))


def _lost(number: int, total: int, error: Exception) -> Iterator[Row]:
    """A reject for each announced row that is missing; at least one."""
    reason = f"unreadable file ({type(error).__name__})"
    for lost in range(number + 1, max(total, number + 1) + 1):
        yield Row(lost, None, reason)
