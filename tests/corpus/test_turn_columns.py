"""Columns of instruction and preference sets: each shape is one conversation, and no column is lost in silence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.corpus.readers.mapping.columns import Columns, to_document
from kormo_plugins.corpus.readers.mapping.mapped import REASON, unmapped_names
from kormo_plugins.documents.conversation import messages_of
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.preference_pair import Pair, pair_of
from kormo_plugins.documents.turn import EMPTY_SYSTEM
from kormo_plugins.errors import KormoError
from kormo_plugins.store.corpus_files import read_corpus

from .conftest import Build
from .test_conversations import rows

ASK = {"role": "user", "content": "요약하라."}
ANSWER = {"role": "assistant", "content": "요약."}
SYSTEM = {"role": "system", "content": "짧게."}
ALPACA = {"question": "instruction", "answer": "output"}


def read(row: dict[str, Any], **columns: Any) -> Any:
    """The messages of a row, or why it has none."""
    document = to_document(row, Columns.model_validate(columns), "x:1")
    return messages_of(document) if isinstance(document, Document) else document


@pytest.mark.parametrize(
    ("row", "how", "messages"),
    [
        (
            {"instruction": "요약하라.", "input": "긴 글", "output": "요약."},
            ALPACA | {"input": "input"},
            [ASK | {"content": "요약하라.\n\n긴 글"}, ANSWER],
        ),
        ({"instruction": "요약하라.", "input": "", "output": "요약."}, ALPACA | {"input": "input"}, [ASK, ANSWER]),
        ({"instruction": "요약하라.", "output": "요약."}, ALPACA | {"input": "input"}, [ASK, ANSWER]),
        (
            {"instruction": "요약하라.", "output": "요약.", "history": [["안녕", "네."]]},
            ALPACA | {"history": "history"},
            [{"role": "user", "content": "안녕"}, {"role": "assistant", "content": "네."}, ASK, ANSWER],
        ),
        (
            {"system_prompt": "짧게.", "question": "요약하라.", "response": "요약."},
            {"question": "question", "answer": "response", "system": "system_prompt"},
            [SYSTEM, ASK, ANSWER],
        ),
        ({"system": "짧게.", "m": [ASK, ANSWER]}, {"column": "m", "system": "system"}, [SYSTEM, ASK, ANSWER]),
        ({"system": "짧게.", "m": [SYSTEM, ASK, ANSWER]}, {"column": "m", "system": "system"}, [SYSTEM, ASK, ANSWER]),
        ({"system": None, "m": [ASK, ANSWER]}, {"column": "m", "system": "system"}, [ASK, ANSWER]),
        (
            {"q": "요약하라.", "cot": "읽는다.", "a": "요약."},
            {"question": "q", "answer": "a", "reasoning": "cot"},
            [ASK, ANSWER | {"reasoning_content": "읽는다."}],
        ),
        ({"m": json.dumps([ASK, ANSWER])}, "m", [ASK, ANSWER]),
        (
            {"m": [ASK | {"weight": 0}, ANSWER | {"weight": 0}, ASK, ANSWER | {"weight": 1}]},
            "m",
            [ASK, ANSWER | {"weight": 0}, ASK, ANSWER],
        ),
        (
            {
                "m": [
                    {"from": "human", "value": "요약하라."},
                    {"from": "gpt", "value": "요약.", "loss": False},
                    {"from": "human", "value": "요약하라."},
                    {"from": "gpt", "value": "요약.", "loss": True},
                ]
            },
            {
                "column": "m",
                "role": "from",
                "content": "value",
                "train": "loss",
                "roles": {"human": "user", "gpt": "assistant"},
            },
            [ASK, ANSWER | {"weight": 0}, ASK, ANSWER],
        ),
        (
            {
                "m": [
                    {"from": "human", "value": "요약하라."},
                    {"from": "function_call", "value": '{"name": "f"}'},
                    {"from": "observation", "value": "글"},
                    {"from": "gpt", "value": "요약."},
                ]
            },
            {
                "column": "m",
                "role": "from",
                "content": "value",
                "roles": {"human": "user", "gpt": "assistant", "observation": "tool"},
            },
            [
                ASK,
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}],
                },
                {"role": "tool", "content": "글"},
                ANSWER,
            ],
        ),
    ],
)
def test_shapes_of_a_row(row: dict[str, Any], how: Any, messages: list[dict[str, Any]]) -> None:
    assert read(row, messages=how) == messages


@pytest.mark.parametrize(
    ("row", "how", "reason"),
    [
        (
            {"m": [SYSTEM, ASK, ANSWER], "s": "anders"},
            {"column": "m", "system": "s"},
            "a system turn beside the column of the system turn",
        ),
        ({"instruction": "a", "output": "b", "input": 3}, ALPACA | {"input": "input"}, "column 'input' is no text"),
        ({"instruction": "a", "output": "b", "h": "x"}, ALPACA | {"history": "h"}, "column 'h': no list of turns"),
        ({"m": [ASK, ANSWER], "t": "add"}, {"column": "m", "tools": "t"}, "tools that are no JSON"),
        ({"m": "a text"}, "m", "no list of turns"),
    ],
)
def test_rows_that_are_no_conversation(row: dict[str, Any], how: Any, reason: str) -> None:
    assert read(row, messages=how) == Reject(reason)


def test_tools_are_kept_as_objects() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    how = Columns.model_validate({"messages": {"column": "m", "tools": "tools"}})
    for given in ([tool], json.dumps([tool]), tool):
        document = to_document({"m": [ASK, ANSWER], "tools": given}, how, "x:1")
        assert isinstance(document, Document) and document.meta["tools"] == [tool]


def test_a_pair_is_read_at_once() -> None:
    row = {"system": "짧게.", "question": "요약하라.", "chosen": "요약.", "rejected": "싫다."}
    document = to_document(row, Columns.model_validate({"pair": {}}), "x:1")
    assert isinstance(document, Document)
    assert pair_of(document) == Pair([SYSTEM, ASK], ANSWER, ANSWER | {"content": "싫다."})
    assert read(row | {"margin": 3}, pair={}) == Reject(REASON + "margin")


# ---- columns that nothing maps


@pytest.mark.parametrize(
    ("row", "columns", "names"),
    [
        ({"instruction": "a", "input": "b", "output": "c"}, {"messages": ALPACA}, "input"),
        ({"m": [ASK, ANSWER], "system": "x", "source": "y"}, {"messages": "m"}, "source, system"),
        ({"m": [ASK, ANSWER | {"masked": True}]}, {"messages": "m"}, "messages[].masked"),
        ({"m": json.dumps([ASK, ANSWER | {"masked": True}])}, {"messages": "m"}, "messages[].masked"),
        ({"m": [ASK, ANSWER], "source": "y"}, {"messages": "m", "ignore": ["score"]}, "source"),
        ({"text": "a", "url": "b"}, {"ignore": []}, "url"),
    ],
)
def test_an_unmapped_column_is_named(row: dict[str, Any], columns: dict[str, Any], names: str) -> None:
    assert to_document(row, Columns.model_validate(columns), "x:1") == Reject(REASON + names)


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"m": [ASK, ANSWER], "source": "y"}, {"messages": "m", "ignore": "others"}),
        ({"m": [ASK, ANSWER], "source": "y"}, {"messages": "m", "ignore": ["source"]}),
        ({"m": [ASK, ANSWER], "source": "y"}, {"messages": "m", "keep": ["source"]}),
        ({"m": [ASK, ANSWER | {"masked": True}]}, {"messages": "m", "ignore": ["messages[].masked"]}),
        ({"m": [ASK, ANSWER | {"refusal": None}], "input": "", "tools": []}, {"messages": "m"}),
        ({"text": "a", "url": "b"}, {}),
    ],
)
def test_what_is_mapped_ignored_or_empty_passes(row: dict[str, Any], columns: dict[str, Any]) -> None:
    assert isinstance(to_document(row, Columns.model_validate(columns), "x:1"), Document)


def test_columns_of_a_schema() -> None:
    columns = Columns.model_validate({"messages": ALPACA})
    assert unmapped_names(["instruction", "output", "input", "id"], columns) == REASON + "input"


@pytest.mark.parametrize(
    ("row", "how", "says"),
    [
        (
            {"instruction": "a", "input": "b", "output": "c"},
            ALPACA,
            "{messages: {question: instruction, answer: output, input: input}}",
        ),
        ({"q": "a", "a": "b", "system_prompt": "c"}, {"question": "q", "answer": "a"}, "system: system_prompt}"),
        ({"q": "a", "a": "b", "cot": "c"}, {"question": "q", "answer": "a"}, "reasoning: cot}"),
        ({"m": [ASK, ANSWER | {"thinking": "c"}]}, "m", "{messages: {column: m, reasoning: thinking}}"),
        ({"m": [ASK, ANSWER | {"loss": True}]}, "m", "train: loss}"),
        ({"m": [ASK, ANSWER | {"masked": True}]}, "m", "{messages: {column: m}, ignore: ['messages[].masked']}"),
        (
            {"m": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "model": "x"},
            "m",
            "{messages: {role: from, content: value, roles: {human: user, gpt: assistant}, column: m}, keep: [model]}",
        ),
        ({"m": [ASK, ANSWER], "lang": "ko", "score": 3}, "m", "{messages: {column: m}, language: lang, keep: [score]}"),
        ({"m": [ASK, ANSWER], "chosen": "네.", "rejected": "아니."}, "m", "{pair: {}}"),
        ({"m": [ASK, ANSWER], "ein wort": 1}, "m", "ignore: ['ein wort']"),
    ],
)
def test_a_source_is_refused_with_the_likely_mapping(
    row: dict[str, Any], how: Any, says: str, build: Build, tmp_path: Path
) -> None:
    reader = rows(tmp_path / "in.jsonl", row) | {"columns": {"messages": how}}
    with pytest.raises(KormoError) as caught:
        build({"reader": reader})
    assert says in caught.value.do and caught.value.where == "sources.s.reader.columns", caught.value.render()
    assert not (tmp_path / "out" / "work").exists(), "nothing was built"
    written = re.search(r"`columns: (.*?})`", caught.value.do)
    assert written or "pair" in says
    if "pair" not in says:
        build({"reader": reader | {"columns": yaml.safe_load(written[1])}}, held_out={"documents": 0})


def test_an_empty_system_turn_is_counted(build: Build, tmp_path: Path) -> None:
    empty = {"role": "system", "content": ""}
    reader = rows(tmp_path / "in.jsonl", {"m": [empty, ASK, ANSWER]}, {"m": [ASK, ANSWER]}, {"m": [empty, ASK, ANSWER]})
    stats = build({"reader": reader | {"columns": {"messages": "m"}}}, held_out={"documents": 0})
    assert stats["documents"] == 3 and stats["steps"][0]["notes"] == {EMPTY_SYSTEM: 2}
    kept = list(read_corpus(tmp_path / "out"))
    assert [messages_of(document) for document in kept] == [[ASK, ANSWER]] * 3
    assert [document.meta.get("reader_notes") for document in kept] == [[EMPTY_SYSTEM], None, [EMPTY_SYSTEM]]


def test_the_identity_of_a_corpus_of_texts_stays() -> None:
    assert set(Columns().model_dump()) == {"text", "messages", "id", "language", "license", "keep"}
