"""The line of a document is that of `json.dumps`, byte for byte, and comes back as the same document."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.documents.document import Document, from_line, read_documents, to_line, write_documents

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
META = st.dictionaries(TEXT, st.recursive(st.none() | st.booleans() | st.integers() | TEXT, st.lists))
EVERY_CODE_POINT = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)


def plain(document: Document) -> bytes:
    return (json.dumps(asdict(document), ensure_ascii=False) + "\n").encode()


@settings(max_examples=40)
@given(st.builds(Document, TEXT, TEXT, TEXT, TEXT, TEXT, st.booleans(), TEXT, META | st.just({})))
def test_the_line_is_jsons_and_comes_back(document: Document) -> None:
    assert to_line(document) == plain(document)
    assert from_line(to_line(document)) == document


@pytest.mark.parametrize(
    "document",
    [
        Document("all", EVERY_CODE_POINT),
        Document('a", "meta": {}}', 'a", "meta": {}}\n'),
        Document("numbers", "x", meta={"large": 1 << 80, "small": -(1 << 70), "half": 0.5}),
        Document("nested", "x", meta={"meta": {}}),
    ],
)
def test_what_a_reader_could_take_for_something_else(document: Document) -> None:
    assert to_line(document) == plain(document)
    assert from_line(to_line(document)) == document


def test_a_number_that_is_none_stays_one() -> None:
    assert math.isnan(from_line(to_line(Document("nan", "x", meta={"score": math.nan}))).meta["score"])


@pytest.mark.parametrize("level", [1, 3])
def test_files_come_back(tmp_path: Path, level: int) -> None:
    documents = [Document(str(n), "글\u2028\r\x85\n" * n, meta={"n": n} if n % 2 else {}) for n in range(500)]
    assert write_documents(tmp_path / "a.jsonl.zst", documents, level) == 500
    assert list(read_documents(tmp_path / "a.jsonl.zst")) == documents
