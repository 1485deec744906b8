"""Conversations through the corpus: read from any columns, cleaned turn by turn, broken ones counted and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.documents.conversation import messages_of, plain_text
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.store.corpus_files import read_corpus

from .conftest import Build

TURNS = [
    {"role": "user", "content": "질문이  있어요."},
    {"role": "assistant", "content": "네, 말씀하세요.", "reasoning_content": "인사를 한다."},
]


def rows(path: Path, *given: dict[str, Any]) -> dict[str, Any]:
    """A reader of a JSONL file with these rows."""
    path.write_text("".join(json.dumps({"id": f"c{i}", **row}) + "\n" for i, row in enumerate(given)))
    return {"name": "jsonl", "path": str(path)}


@pytest.mark.parametrize(
    ("row", "how"),
    [
        ({"conversation": TURNS}, "conversation"),
        (
            {
                "talk": [
                    {"from": "human", "value": TURNS[0]["content"]},
                    {"from": "gpt", "value": "<think>\n인사를 한다.\n</think>\n\n네, 말씀하세요."},
                ]
            },
            {"column": "talk", "role": "from", "content": "value", "roles": {"human": "user", "gpt": "assistant"}},
        ),
        (
            {"q": TURNS[0]["content"], "a": "<think>인사를 한다.</think>네, 말씀하세요."},
            {"question": "q", "answer": "a"},
        ),
    ],
)
def test_three_ways_to_write_one_conversation(row: dict[str, Any], how: Any, build: Build, tmp_path: Path) -> None:
    reader = rows(tmp_path / "in.jsonl", row) | {"columns": {"messages": how}}
    stats = build({"reader": reader, "language": "ko"}, held_out={"documents": 0})
    (document,) = read_corpus(tmp_path / "out")
    assert messages_of(document) == TURNS and document.text == plain_text(TURNS)
    assert stats["documents"] == stats["conversations"] == 1


def test_broken_conversations_are_counted_kept_and_stop_nothing(build: Build, tmp_path: Path) -> None:
    broken = [
        ({"conversation": TURNS[:1]}, "the last turn is of the user"),
        ({"conversation": [TURNS[0], TURNS[1], TURNS[1]]}, "two assistant turns in a row"),
        ({"conversation": [TURNS[0], {**TURNS[1], "content": "a<|EOT|>"}]}, "the control token <|EOT|> in a turn"),
        ({"conversation": None}, "no column 'conversation'"),
        ({"text": "no conversation"}, "no column 'conversation'"),
    ]
    reader = rows(tmp_path / "in.jsonl", {"conversation": TURNS}, *(row for row, _ in broken))
    stats = build({"reader": reader | {"columns": {"messages": "conversation"}}}, held_out={"documents": 0})
    assert stats["documents"] == 1 and stats["rejected"] == len(broken)
    assert stats["steps"][0]["rejects"] == {reason: sum(r == reason for _, r in broken) for _, reason in broken}
    kept = [document.meta["rejected"]["reason"] for document in read_corpus(tmp_path / "out" / "rejects")]
    assert kept == [reason for _, reason in broken]


def test_a_source_of_nothing_but_broken_conversations_names_one(build: Build, tmp_path: Path) -> None:
    reader = rows(tmp_path / "in.jsonl", {"talk": TURNS[:1]}, {"talk": TURNS[:1]})
    with pytest.raises(KormoError) as caught:
        build({"reader": reader | {"columns": {"messages": "talk"}}})
    assert "the last turn is of the user (2)" in caught.value.found and "in.jsonl:1" in caught.value.why
    with pytest.raises(KormoError) as caught:
        build({"reader": reader | {"columns": {"messages": "conversation"}}}, out="other")
    assert "no column 'conversation' (2)" in caught.value.found and '"talk"' in caught.value.why


def test_steps_that_rewrite_reach_every_message(build: Build, tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "제 번호는 010-1234-5678 입니다.\u200b"},
        {
            "role": "assistant",
            "content": "메일은 hong@naver.com 이네요.",
            "reasoning_content": "번호 010-1234-5678 을 본다.",
        },
    ]
    reader = rows(tmp_path / "in.jsonl", {"c": turns}) | {"columns": {"messages": "c"}}
    steps = ({"name": "normalize"}, {"name": "personal_data"}, {"name": "length", "minimum": 12})
    stats = build({"reader": reader, "language": "ko"}, steps, held_out={"documents": 0})
    (document,) = read_corpus(tmp_path / "out")
    messages = messages_of(document)
    assert messages is not None and document.text == plain_text(messages)
    written = json.dumps(messages, ensure_ascii=False)
    assert not any(dirt in written for dirt in ("1234", "hong", "\u200b"))
    assert [step["changed"] for step in stats["steps"][1:4]] == [1, 1, 0]


def test_turns_as_text_are_still_text(build: Build, tmp_path: Path) -> None:
    reader = rows(tmp_path / "in.jsonl", {"c": TURNS}) | {"columns": {"text": {"conversation": "c"}}}
    stats = build({"reader": reader}, held_out={"documents": 0})
    (document,) = read_corpus(tmp_path / "out")
    assert messages_of(document) is None and stats["conversations"] == 0 and "<think>" in document.text


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"messages": "c", "text": "t"}, "give text or messages"),
        ({"messages": {"column": "c", "question": "q", "answer": "a"}}, "give either column, or question and answer"),
        ({"messages": {"question": "q"}}, "give either column, or question and answer"),
        ({"messages": {"colum": "c"}}, "colum"),
        ({"messages": {"column": "c", "input": "i"}}, "input and history apply to question and answer"),
        ({"messages": "c", "pair": {}}, "give only one of pair, messages and text"),
    ],
)
def test_columns_that_contradict_each_other(columns: dict[str, Any], says: str, components: Registry) -> None:
    with pytest.raises(KormoError) as caught:
        components.params("reader", "jsonl", {"path": "x", "columns": columns})
    assert says in caught.value.render()
