"""For every format: the rows that go in are the documents and the rejects that come out, one of them for each row."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kormo_plugins.corpus.readers import units
from kormo_plugins.corpus.readers.files import FilesParams, folder
from kormo_plugins.corpus.step import Rejected

Row = dict[str, Any]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": st.none() | TEXT}, optional={"text": st.none() | TEXT, "more": st.integers() | st.floats()}
    ),
    max_size=12,
)


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def write_csv(path: Path, rows: list[Row], delimiter: str) -> int:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["id", "text"])
        writer.writerows([row["id"] or "", row.get("text") or ""] for row in rows)
    return len(rows)


def write_lines(path: Path, rows: list[Row]) -> int:
    lines = [str(row.get("text") or "").replace("\n", " ") for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return sum(bool(line.encode().strip()) for line in lines)  # U+001F is no space of a file's lines


def columns_of(rows: list[Row]) -> pa.Table:
    return pa.table({"id": pa.array([row["id"] for row in rows], pa.string()),
                     "text": pa.array([row.get("text") for row in rows], pa.string())})  # fmt: skip


def write_arrow(path: Path, rows: list[Row]) -> int:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, columns_of(rows).schema) as writer:
        writer.write_table(columns_of(rows), max_chunksize=3)
    return len(rows)


def write_parquet(path: Path, rows: list[Row]) -> int:
    pq.write_table(columns_of(rows), path, row_group_size=4)
    return len(rows)


def json_lines(rows: list[Row]) -> bytes:
    return bytes_of("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def packed(pack: Callable[[bytes], bytes]) -> Callable[[Path, list[Row]], int]:
    def write(path: Path, rows: list[Row]) -> int:
        path.write_bytes(pack(json_lines(rows)))
        return len(rows)

    return write


def write_zip(path: Path, rows: list[Row]) -> int:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jsonl", json_lines(rows))
    return len(rows)


FORMATS: dict[str, Callable[[Path, list[Row]], int]] = {
    "a.jsonl": packed(bytes),
    "a.jsonl.gz": packed(gzip.compress),
    "a.jsonl.xz": packed(lzma.compress),
    "a.jsonl.bz2": packed(bz2.compress),
    "a.jsonl.zst": packed(zstandard.compress),
    "a.zip": write_zip,
    "a.json": packed(lambda lines: bytes_of(json.dumps([json.loads(line) for line in lines.splitlines()]))),
    "b.json": packed(
        lambda lines: b"\n".join(bytes_of(json.dumps(json.loads(x), indent=1)) for x in lines.splitlines())
    ),
    "a.csv": lambda path, rows: write_csv(path, rows, ","),
    "a.tsv": lambda path, rows: write_csv(path, rows, "\t"),
    "a.txt": write_lines,
    "a.arrow": write_arrow,
    "a.parquet": write_parquet,
}


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, unit=st.integers(20, 400))
def test_every_row_is_a_document_or_a_reject(tmp_path: Path, name: str, rows: list[Row], unit: int) -> None:
    count = FORMATS[name](tmp_path / name, rows)
    before = units.UNIT_BYTES
    units.UNIT_BYTES = unit
    try:
        params = FilesParams(path=tmp_path / name, text_per="line")
        parts = folder.parts(params)
        items = [item for part in range(parts) for item in folder(params, part, parts)]
    finally:
        units.UNIT_BYTES = before
    assert len(items) == count
    texts = [text for row in rows if (text := row.get("text")) and not text.isspace()]
    documents = [item.text for item in items if not isinstance(item, Rejected)]
    assert documents == ([text.replace("\n", " ") for text in texts] if name == "a.txt" else texts)
