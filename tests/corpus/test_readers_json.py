"""JSON as people write it: what Python's parser gives, row by row, however the file is laid out."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kormo_plugins.corpus.readers.file_formats import json_values
from kormo_plugins.corpus.readers.file_formats.json_values import HEAD, NotJson, layout, loads, repeated_in, values
from kormo_plugins.corpus.readers.file_formats.streams import CHUNK, Damaged
from kormo_plugins.corpus.readers.files import FilesParams, folder
from kormo_plugins.corpus.readers.mapping.paths import lookup, root, steps
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.document import Document

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(2**62, 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
LIMIT = 1 << 20


def read(path: Path, **keys: object) -> list[Document | Rejected]:
    return list(folder(FilesParams.model_validate({"path": path, **keys})))


@settings(max_examples=200, deadline=None)
@given(JSON, st.sampled_from([None, 0, 2]), st.booleans())
@example([1e308, 2**63, {"a\\": '": "'}], None, True)
def test_values_are_those_of_pythons_parser(value: json_values.Json, indent: int | None, ascii: bool) -> None:
    written = json.dumps(value, indent=indent, ensure_ascii=ascii)
    got, _ = loads(written.encode("utf-8", "surrogatepass"))
    assert json.dumps(got) == json.dumps(json.loads(written))  # NaN differs from itself, its spelling does not


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=3), max_size=6),
    st.sampled_from([None, 0, 1, 4]),
    st.booleans(),
    st.integers(1, 40),
)
def test_values_end_where_they_end_however_the_stream_is_cut(
    rows: list[dict[str, json_values.Json]], indent: int | None, array: bool, size: int
) -> None:
    written = (
        json.dumps(rows, indent=indent) if array else "\n".join(json.dumps(r, indent=indent) for r in rows)
    ).encode()
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    assert [json.dumps(loads(piece)[0]) for piece in values(pieces, LIMIT)] == [json.dumps(row) for row in rows]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b'{"a": 1}\n{"a": 2}\n', "lines"),
        (b'{"a": "cut\n{"a": 2}\n', "lines"),
        (b'[{"a": 1}, {"a": 2}]', "values"),
        (b'[\n{"a": 1},\n{"a": 2}]', "values"),
        (b"\xef\xbb\xbf"[3:] + b'{\n  "a": 1\n}\n{\n "a": 2}', "values"),
        (b"[1]\n[2]\n", "lines"),
        (b"not json\n", "lines"),
        (b"", "lines"),
    ],
)
def test_the_layout_is_told_by_the_first_line(written: bytes, expected: str) -> None:
    assert layout(written) == expected


@pytest.mark.parametrize("size", [HEAD - 1, HEAD, HEAD + 1, 2 * HEAD, CHUNK - 1, CHUNK, CHUNK + 1])
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_an_array_on_one_line_is_read_at_any_size(tmp_path: Path, size: int, end: str, name: str) -> None:
    rows = [{"text": f"글 {number}"} for number in range(20)]
    rows[-1]["text"] += "x" * (size - len(json.dumps(rows)))
    (tmp_path / name).write_text(json.dumps(rows) + end)
    assert [item.text for item in read(tmp_path) if isinstance(item, Document)] == [row["text"] for row in rows]


def test_a_broken_value_costs_itself(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '[\n  {"text": "하나"},\n  7, "글", null, [1],\n  {"text": "열린},\n  {"text": "둘"},\n  {"text" "셋"},\n'
        '  {"text": "넷"}\n]\n', encoding="utf-8",
    )  # fmt: skip
    items = read(tmp_path)
    texts = [item.text for item in items if isinstance(item, Document)]
    reasons = [item.reason for item in items if isinstance(item, Rejected)]
    assert texts == ["하나", "둘", "넷"]
    assert reasons == [*["not an object"] * 4, "broken line", "broken line"]


def test_an_object_without_its_end_gives_up_at_the_next_of_its_indentation(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{\n  "text": "하나",\n  "more": {\n    "a": 1\n\n{\n  "text": "둘"\n}\n{\n  "text": "셋"\n}\n',
        encoding="utf-8",
    )
    items = read(tmp_path)
    assert [item.text for item in items if isinstance(item, Document)] == ["둘", "셋"] and len(items) == 3


def test_an_array_that_does_not_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"text": "하나"}, {"text": "둘"},\n', encoding="utf-8")
    items = read(tmp_path)
    assert [type(item) for item in items] == [Document, Document, Rejected]
    assert isinstance(items[-1], Rejected) and items[-1].reason == "the array does not end"
    with pytest.raises(Damaged, match="more than 16 bytes"):
        list(values([b'{"text": "', b"x" * 20], 16))


def test_a_column_that_is_not_read_costs_nothing(tmp_path: Path) -> None:
    rows = ['{"id": 1, "text": "가", "score": NaN}', '{"id": 2, "text": "나", "score": -Infinity}',
            '{"id": 3, "text": "다", "other": "\\ud800"}', '{"id": 4, "text": "라", "n": 1, "n": 2}',
            '{"id": 5, "text": "마", "n": 123456789012345678901234567890}', '{"id": 6, "text": "바", "n": 1e999}',
            '{"id": 36893488147419103232, "text": "사"}']  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(rows), encoding="utf-8")
    items = read(tmp_path)
    assert [item.id for item in items if isinstance(item, Document)] == [
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "36893488147419103232",
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"id": "r", "text": "가", "text": "나"}', "the key 'text' is there twice"),
        ('{"id": "r", "text": "가", "keep": {"a": 1, "a": 2}}', "the key 'a' is there twice"),
        ('{"id": "r", "text": "\\ud800", "keep": 1}', "lone surrogate"),
        ('{"id": "r", "text": "가", "keep": ["\\udfff"]}', "lone surrogate"),
        ('{"id": "r", "text": NaN, "keep": 1}', "no column 'text'"),
        ('{"id": "r", "text": 5, "keep": 1}', "column 'text' is no text"),
        ('{"id": "r", "text": " ", "keep": 1}', "empty text"),
        ('{"id": "r", "text": "가", "keep": ' + "[" * 600 + "]" * 600 + "}", "nested too deeply"),
        ('{"id": "r", "text": "가", "keep": ' + "[" * 6000 + "]" * 6000 + "}", "nested too deeply"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_given_is_a_reject_under_the_rows_own_id(tmp_path: Path, row: str, reason: str) -> None:
    (tmp_path / "a.jsonl").write_text(row + '\n{"text": "곁", "keep": 0}\n', encoding="utf-8")
    bad, good = read(tmp_path, columns={"keep": ["keep"]})
    assert isinstance(bad, Rejected) and isinstance(good, Document)
    assert bad.reason == reason
    if "[[[" * 1000 not in row:  # nothing of which can be parsed
        assert (bad.document.id, bad.document.meta) == ("r", {"place": "a.jsonl:1"})


def test_equal_duplicates_and_missing_metadata_are_no_faults(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "가", "text": "가", "m": NaN}\n{"text": "나", "m": null}', encoding="utf-8"
    )
    assert [item.meta for item in read(tmp_path, columns={"keep": ["m"]}) if isinstance(item, Document)] == [
        {"m": None}
    ] * 2


def test_rows_within_an_object(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"name": "x", "data": {"rows": [{"text": "하나"}, {"text": "둘"}, 3]}}', encoding="utf-8"
    )
    items = read(tmp_path, rows="data.rows")
    assert [item.text for item in items if isinstance(item, Document)] == ["하나", "둘"] and len(items) == 3
    [missing] = read(tmp_path, rows="data.list")
    assert isinstance(missing, Rejected) and missing.reason == "no list of rows at 'data.list'"


def test_every_column_key_takes_a_path(tmp_path: Path) -> None:
    row = {
        "meta": {"key": 7, "lang": "ko", "licence": "CC0-1.0", "a.b": 1},
        "instances": [{"input": "물음", "output": "답"}],
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(row), encoding="utf-8")
    keys = {"id": "meta.key", "language": "meta.lang", "license": "meta.licence", "keep": ["instances[0].input"]}
    [document] = read(tmp_path, columns={"text": "instances[0].output", **keys})
    assert isinstance(document, Document)
    assert (document.id, document.text, document.language, document.license) == ("7", "답", "ko", "CC0-1.0")
    assert document.meta == {"instances[0].input": "물음"}
    template = {"template": "{instances[0].input} {{}} {instances[0].output}"}
    [document] = read(tmp_path, columns={"text": template, **keys})
    assert isinstance(document, Document) and document.text == "물음 {} 답"
    [conversation] = read(
        tmp_path,
        columns={
            "messages": {"question": "instances[0].input", "answer": "instances[0].output"},
            "ignore": "others",
        },
    )
    assert isinstance(conversation, Document) and [m["content"] for m in conversation.meta["messages"]] == [
        "물음",
        "답",
    ]


def test_paths() -> None:
    row = {"a.b": 1, "a": {"b": 2, "c": [{"d": 3}]}, "x[": 4}
    assert [lookup(row, path) for path in ("a.b", "a.c[0].d", "a.c[-1].d", "a.c[1].d", "a.c.d", "x[", "a.b.c")] == [
        1, 3, 3, None, None, 4, None,
    ]  # fmt: skip
    assert steps("a.c[0].d") == ("a", "c", 0, "d") and steps("x[") == ("x[",) and root("a.c[0]") == "a"
    assert lookup({"text": "글"}, "text.__class__") is None


def test_what_is_no_json_is_told() -> None:
    for line, reason in (
        (b"{", "broken line"),
        (b'"\xff"', "not UTF-8"),
        (b"1" * 5000, "broken line"),
        (b"[" * 9999, "nested"),
    ):
        with pytest.raises(NotJson, match=reason):
            loads(line)
    value, strange = loads(b'{"a": {"b": 1, "b": 2}}')
    assert strange and repeated_in(value) == "b"
    value, _ = loads(b"[NaN]")
    assert isinstance(value, list) and isinstance(value[0], float) and math.isnan(value[0])
