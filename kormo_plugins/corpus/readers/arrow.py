"""Rows of Parquet and Arrow files: only the columns that are asked for, and one bad value costs one row.

A batch is converted as a whole; where that fails (text that is not UTF-8, a date that Python has not), its rows are
converted one by one, and those that cannot be become rejects with their ids. Where the file itself cannot be decoded,
each row that its metadata promised is told as lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.corpus.readers.paths import root

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1024
"""Rows held at a time."""
ARROW_MAGIC = b"ARROW1"
"""What an Arrow file begins with; a stream, as `datasets` writes it, does not."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row (None if it could not be converted), its number from 1, why, and what it can say of itself."""

    number: int
    values: dict[str, object] | None
    fault: str = ""
    name: str = ""


def parquet_rows(path: Path, wanted: Iterable[str], name: str, start: int, end: int | None) -> Iterator[Row]:
    """The rows of some row groups of a Parquet file.

    Args:
        wanted: columns that are read (paths into them count for them).
        name: column of the row's id.
        start, end: the row groups; None: to the last.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = total = 0
    try:
        with pq.ParquetFile(path) as file:
            groups = list(range(start, file.num_row_groups if end is None else end))
            number = sum(file.metadata.row_group(i).num_rows for i in range(start))
            total = number + sum(file.metadata.row_group(i).num_rows for i in groups)
            columns = _present(file.schema_arrow.names, wanted)
            for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns) if columns else ():
                for row in rows_of(batch, number, name):
                    number = row.number
                    yield row
            for bare in range(number + 1, total + 1):  # of none of the columns: `to_document` says so
                yield Row(bare, {})
    except (OSError, ValueError, pa.ArrowException) as error:
        yield from _lost(number, total, error)


def arrow_rows(path: Path, wanted: Iterable[str], name: str) -> Iterator[Row]:
    """The rows of an Arrow file or stream, memory-mapped."""
    import pyarrow as pa

    number = 0
    try:
        with _batches(path) as (names, batches):
            columns = _present(names, wanted)
            for batch in batches:
                for begin in range(0, batch.num_rows, BATCH_ROWS):
                    for row in rows_of(batch.select(columns).slice(begin, BATCH_ROWS), number, name):
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


def _present(names: list[str], wanted: Iterable[str]) -> list[str]:
    """The columns of a file that hold what is wanted, each once, in the file's order."""
    asked = {column for path in wanted for column in (path, root(path))}
    return [name for name in names if name in asked]


def rows_of(batch: pa.RecordBatch, before: int, name: str) -> Iterator[Row]:
    """The rows of a batch, numbered from `before + 1`."""
    try:
        values = batch.to_pylist()
    except (ValueError, OverflowError, UnicodeDecodeError, batch_errors()):
        for index in range(batch.num_rows):
            yield _row(batch.slice(index, 1), before + index + 1, name)
    else:
        for number, row in enumerate(values, before + 1):
            yield Row(number, row)


def batch_errors() -> type[Exception]:
    """What pyarrow raises for values of its own."""
    import pyarrow as pa

    found: type[Exception] = pa.ArrowException
    return found


def _row(batch: pa.RecordBatch, number: int, name: str) -> Row:
    """One row, value by value."""
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
    """A reject for each row that was promised and is not there; at least one."""
    reason = f"unreadable file ({type(error).__name__})"
    for lost in range(number + 1, max(total, number + 1) + 1):
        yield Row(lost, None, reason)
