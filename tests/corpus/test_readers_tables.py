"""CSV, TSV and text by the line: what is sniffed is right, and a wrong quotation mark costs one row."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.corpus.readers import units
from kormo_plugins.corpus.readers.file_formats import tables
from kormo_plugins.corpus.readers.file_formats.tables import Table, records, sniff
from kormo_plugins.corpus.readers.files import FilesParams, folder, text
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.document import Document

FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6)


def read(path: Path, **keys: object) -> tuple[list[str], list[str]]:
    items = list(folder(FilesParams.model_validate({"path": path, **keys})))
    texts = [item.text for item in items if isinstance(item, Document)]
    return texts, [item.reason for item in items if isinstance(item, Rejected)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(FIELD, min_size=2, max_size=2), max_size=6), st.sampled_from(tables.DELIMITERS))
def test_what_csv_writes_is_read_again(rows: list[list[str]], delimiter: str) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator="\n").writerows(rows)
    found = records(written.getvalue().removesuffix("\n").split("\n"), delimiter, '"')
    assert [list(record.fields) for record in found] == [row for row in rows if row]


@pytest.mark.parametrize(
    ("name", "content", "delimiter", "quote", "header"),
    [
        ("a.csv", 'id,text\n1,"가, 나"\n2,"다 ""라"""\n', ",", '"', True),
        ("a.csv", "id;text\n1;가, 나\n2;다\n", ";", '"', True),
        ("a.csv", "id|text\n1|가\n2|나\n", "|", '"', True),
        ("a.tsv", 'id\ttext\n1\t"가\n2\t나"다\n', "\t", "", True),
        ("a.tsv.gz", "id\ttext\n1\t가, 나\n", "\t", '"', True),
        ("a.csv", "text\n가\n나\n", ",", '"', True),
        ("a.csv", 'text\n"가\n나"\n', ",", '"', True),
    ],
)
def test_the_dialect_is_told_from_the_file(name: str, content: str, delimiter: str, quote: str, header: bool) -> None:
    found = sniff(content.split("\n"), Table(), ["text"], name)
    assert (found.delimiter, found.quote, found.header) == (delimiter, quote, header)


def test_the_dialect_may_be_said_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_text("1^'가^나'\n2^다\n", encoding="utf-8")
    columns = {"text": "1", "id": "0"}
    with caplog.at_level(logging.WARNING):
        texts, rejects = read(tmp_path, columns=columns, table={"delimiter": "^", "quote": "'", "header": False})
    assert (texts, rejects) == (["가^나", "다"], [])
    assert "a.csv: fields separated by '^', quoted by '; no header, columns 0 to 1" in caplog.text
    assert read(tmp_path, columns=columns, table={"delimiter": "^", "quote": "'"})[0] == texts  # asked for by number
    with pytest.raises(ValueError, match="one character"):
        Table(delimiter="::")


def test_a_row_that_is_wrong_costs_itself(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        'id,text\r\n1,하나\r\n2,"열린\r\n3,셋\r\n4,넷,다섯\r\n5\r\n\r\n6,"여\r\n섯"\r\n7,"일"곱\r\n8,'.encode()
        + b"\xff\r\n9,"
        + "아홉\r\n".encode()
    )
    items = list(folder(FilesParams(path=tmp_path)))
    assert [item.text for item in items if isinstance(item, Document)] == ["하나", "셋", "여\n섯", "아홉"]
    rejects = {item.document.id: item.reason for item in items if isinstance(item, Rejected)}
    assert set(rejects) == {"a.csv:3", "4", "5", "a.csv:10", "8"}
    assert rejects["4"] == "3 fields where there are 2 columns" and rejects["8"].startswith("not UTF-8")


def test_a_column_that_is_there_twice_and_one_that_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,text\n가,나\n다,다\n", encoding="utf-8")
    assert read(tmp_path) == ([], ["the key 'text' is there twice"] * 2)
    (tmp_path / "a.csv").write_text("id,document\n1,가\n2,나\n", encoding="utf-8")
    assert read(tmp_path) == ([], ["no column 'text'"] * 2)


def test_a_table_of_many_records_keeps_little_in_memory() -> None:
    lines = iter([f'{number},"open' for number in range(3)] + ["x" * 100] * 3)
    found = list(records(lines, ",", '"'))
    assert len(found) == 6


def test_a_document_a_line_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"글 {number}" for number in range(300)]
    (tmp_path / "a.txt").write_text("\ufeff" + "\r\n\r\n".join(lines), encoding="utf-8")
    assert len(read(tmp_path)[0]) == 1
    assert read(tmp_path, text_per="line") == (lines, [])
    monkeypatch.setattr(units, "UNIT_BYTES", 500)
    params = FilesParams(path=tmp_path, text_per="line")
    parts = text.parts(params)
    items = [item for part in range(parts) for item in text(params, part, parts)]
    assert parts > 3 and [item.text for item in items if isinstance(item, Document)] == lines


def test_a_header_in_another_encoding_is_told_decoded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{number},겨울 산에 눈이 내리고 마을에는 저녁 연기가 올랐습니다.\n" for number in range(20))
    path.write_bytes(f"번호,본문\n{rows}".encode("cp949"))
    assert not [item for item in folder(FilesParams(path=path)) if isinstance(item, Document)]
    assert "header 번호, 본문: cp949, not UTF-8 (set `encoding` to cp949, or to auto)" in caplog.text
    assert "\\x" not in caplog.text, "bytes are nothing to read"
    caplog.clear()
    assert len(read(path, encoding="cp949", columns={"text": "본문"})[0]) == 20
    assert "header 번호, 본문" in caplog.text and "not UTF-8" not in caplog.text
