"""Turns as datasets write them: every form of content, reasoning, calls, results and weights ends as one message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kormo_plugins.documents.conversation import (
    Conversation,
    checked,
    conversation,
    messages_of,
    rewritten,
    with_messages,
)
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.shapes import turn_list
from kormo_plugins.documents.tool_calls import signatures
from kormo_plugins.documents.turn import EMPTY_SYSTEM

ASK = {"role": "user", "content": "2 더하기 2는?"}
FOUR = {"role": "assistant", "content": "4입니다."}
THOUGHT = FOUR | {"reasoning_content": "둘에 둘을 더한다."}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 2, "note": "둘"}}}
CALLING = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "4"}
JSON_CALL = json.dumps(CALL["function"], ensure_ascii=False)


def answered(content: Any, **more: Any) -> Any:
    return checked([ASK, {"role": "assistant", "content": content, **more}])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"type": "text", "text": "4입니다."}], FOUR),
        ([{"text": "4입"}, {"type": "text", "text": "니다."}], {"role": "assistant", "content": "4입\n니다."}),
        ("<think>\n둘에 둘을 더한다.\n</think>\n\n4입니다.", THOUGHT),
        ("둘에 둘을 더한다.</think>4입니다.", THOUGHT),
        ("둘에 둘을 더한다.\n</think>\n\n4입니다.\n", THOUGHT),
        ("</think>4입니다.", FOUR),
        ("<think>\n\n</think>\n\n4입니다.", FOUR),
        (" \n\r\n4입니다.", FOUR),
        ("\n    4입니다.", {"role": "assistant", "content": "    4입니다."}),
    ],
)
def test_forms_of_an_answer(content: Any, message: dict[str, Any]) -> None:
    assert answered(content) == [ASK, message]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([{"type": "image_url", "image_url": "x"}], "content with a part of type 'image_url'"),
        ([], "content that is no text"),
        ({"text": "a"}, "content that is no text"),
        ("<think>only a thought", "the control token <think> in a turn"),
        ("a thought</think>\n", "an empty assistant turn"),
    ],
)
def test_content_that_is_no_answer(content: Any, reason: str) -> None:
    assert answered(content) == Reject(reason)


@pytest.mark.parametrize("empty", ["", " \n", None, [{"type": "text", "text": ""}]])
def test_an_empty_system_turn_is_left_out_with_a_note(empty: Any) -> None:
    turns = [{"role": "system", "content": empty}, ASK, FOUR]
    assert conversation(turns) == Conversation([ASK, FOUR], (EMPTY_SYSTEM,))
    assert conversation(turns[1:]) == Conversation([ASK, FOUR])


def test_an_assistant_may_greet_first() -> None:
    greeting = {"role": "assistant", "content": "무엇을 도와드릴까요?"}
    assert checked([greeting, ASK, FOUR]) == [greeting, ASK, FOUR]


# ---- weights


@pytest.mark.parametrize(
    ("given", "weight"),
    [
        ({"weight": 0}, 0),
        ({"weight": 0.0}, 0),
        ({"train": False}, 0),
        ({"weight": 0, "train": False}, 0),
        ({"weight": 1}, None),
        ({"train": True}, None),
        ({"weight": None, "train": None}, None),
        ({}, None),
    ],
)
def test_a_weight_stays_with_its_answer(given: dict[str, Any], weight: int | None) -> None:
    found = checked([ASK, FOUR | given, ASK, FOUR])
    assert found == [ASK, FOUR if weight is None else FOUR | {"weight": weight}, ASK, FOUR]
    assert checked(found) == found, "the one form is read as itself"


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([ASK, FOUR | {"weight": 0.5}], "a weight of 0.5, where a turn is trained (1) or not (0)"),
        ([ASK, FOUR | {"train": "no"}], "a train of no, where a turn is trained (1) or not (0)"),
        ([ASK, FOUR | {"weight": 1, "train": False}], "weight and train that contradict each other"),
        ([ASK | {"weight": 1}, FOUR], "a user turn that is to be trained"),
        ([ASK, FOUR | {"weight": 0}], "no turn that is trained"),
    ],
)
def test_weights_that_cannot_be_kept(turns: list[Any], reason: str) -> None:
    assert checked(turns) == Reject(reason)


# ---- tools


@pytest.mark.parametrize(
    "turn",
    [
        CALLING,
        CALLING | {"content": None},
        CALLING | {"tool_calls": [CALL["function"]]},
        CALLING | {"tool_calls": json.dumps([CALL])},
        CALLING | {"tool_calls": [{"function": {"name": "add", "arguments": '{"a": 2, "note": "둘"}'}}]},
        {"role": "assistant", "content": None, "function_call": CALL["function"]},
        {"role": "assistant", "content": f"<tool_call>\n{JSON_CALL}\n</tool_call>"},
        {"role": "assistant", "content": f"<tool_call>{CALL['function']}</tool_call>\n"},
    ],
)
@pytest.mark.parametrize("result", ["4", "<tool_response>\n4\n</tool_response>"])
def test_forms_of_a_call_and_its_result(turn: dict[str, Any], result: str) -> None:
    assert checked([ASK, turn, RESULT | {"content": result, "tool_call_id": "1"}, FOUR]) == [ASK, CALLING, RESULT, FOUR]


def test_several_calls_and_results_in_one_turn() -> None:
    calls = {"role": "assistant", "content": "보자.\n" + f"<tool_call>{JSON_CALL}</tool_call>" * 2}
    results = RESULT | {"content": "<tool_response>\n4\n</tool_response>\n<tool_response>\n5\n</tool_response>"}
    expected = {"role": "assistant", "content": "보자.", "tool_calls": [CALL, CALL]}
    assert checked([ASK, calls, results, FOUR]) == [ASK, expected, RESULT, RESULT | {"content": "5"}, FOUR]


@pytest.mark.parametrize(
    "calls",
    [[{"name": ""}], [3], "add(2)", [{"name": "f", "arguments": "2"}], [{"name": "f", "arguments": '{"a": NaN}'}]],
)
def test_calls_that_are_none(calls: Any) -> None:
    found = checked([ASK, CALLING | {"tool_calls": calls}])
    assert isinstance(found, Reject) and "tool call" in found.reason


@pytest.mark.parametrize("depth", [150, 100_000])
def test_what_is_nested_too_deeply_is_a_reject(depth: int) -> None:
    deep = '{"a": ' + "[" * depth + "]" * depth + "}"
    for calls in ([{"name": "f", "arguments": deep}], f'[{{"name": "f", "arguments": {deep}}}]'):
        assert isinstance(checked([ASK, CALLING | {"tool_calls": calls}]), Reject)
    assert isinstance(signatures(f"[{deep}]"), Reject)
    assert turn_list("[" * depth) == Reject("no list of turns")


def test_a_step_reaches_the_arguments_of_a_call_and_no_name() -> None:
    found = checked([ASK, CALLING, RESULT, FOUR])
    assert not isinstance(found, Reject)

    def mask(document: Document) -> Document:
        document.text = document.text.replace("둘", "#").replace("add", "#")
        return document

    result = rewritten(with_messages(Document("x", ""), found), mask)
    assert isinstance(result, Document)
    messages = messages_of(result)
    assert messages is not None and messages[1]["tool_calls"] == [
        {"type": "function", "function": {"name": "add", "arguments": {"a": 2, "note": "#"}}}
    ]


# ---- lists of turns


@pytest.mark.parametrize(
    "value",
    [
        [ASK, FOUR],
        json.dumps([ASK, FOUR]),
        [json.dumps(ASK), json.dumps(FOUR)],
        {"role": ["user", "assistant"], "content": [ASK["content"], FOUR["content"]]},
        [[ASK["content"], FOUR["content"]]],
        f"\n\nHuman: {ASK['content']}\n\nAssistant: {FOUR['content']}",
        f"Human: {ASK['content']}\n\nAssistant:{FOUR['content']}\n",
    ],
)
def test_shapes_of_a_list_of_turns(value: Any) -> None:
    assert checked(turn_list(value)) == [ASK, FOUR]


@pytest.mark.parametrize(
    "value", ["", "a text", "[1, 2]", '{"a": 1}', "[{", 3, None, [], {"role": ["user"], "content": []}]
)
def test_what_holds_no_list_of_turns(value: Any) -> None:
    found = turn_list(value)
    assert isinstance(found if isinstance(found, Reject) else checked(found), Reject)
