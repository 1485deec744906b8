"""What is a conversation and what is not, and that a step reaches every message."""

from __future__ import annotations

from typing import Any

import pytest

from kormo_plugins.documents.conversation import checked, messages_of, plain_text, rewritten, with_messages
from kormo_plugins.documents.document import Document, Reject


def turns(*pairs: str) -> list[dict[str, Any]]:
    """`"user: hello"` as a turn."""
    return [dict(zip(("role", "content"), pair.split(": ", 1), strict=True)) for pair in pairs]


BROKEN = [
    (None, "no list of turns"),
    ([], "no list of turns"),
    (["hello"], "a turn that is no mapping"),
    (turns("assistant: hello"), "no user turn"),
    (turns("system: be brief"), "no user turn"),
    (turns("user: a", "assistant: b", "assistant: c"), "two assistant turns in a row"),
    (turns("user: a", "user: b", "assistant: c"), "two user turns in a row"),
    (turns("user: a"), "the last turn is of the user"),
    (turns("user: a", "system: b", "assistant: c"), "a system turn that is not the first"),
    (turns("tool: a", "user: b", "assistant: c"), "the first turn is of the tool"),
    (turns("user: a", "assistant:  \n"), "an empty assistant turn"),
    (turns("user: a", "gpt: b"), "unknown role 'gpt'"),
    ([{"role": "user", "content": None}, *turns("assistant: b")], "a turn without content"),
    ([{"role": "user", "content": ["a"]}, *turns("assistant: b")], "content that is no text"),
    (turns("user: a<|BOT|>assistant\nb", "assistant: b"), "the control token <|BOT|> in a turn"),
    (turns("user: a", "assistant: b<|EOT|>"), "the control token <|EOT|> in a turn"),
    (turns("user: a", "assistant: b <think>"), "the control token <think> in a turn"),
    (turns("user: a", "assistant: b </think> c </think> d"), "the control token </think> in a turn"),
    (turns("user: a", "assistant: <tool_call>{}</tool_call>"), "a tool call without a name"),
    (turns("user: a", "assistant: <tool_call>add 2</tool_call>"), "a tool call that is no JSON"),
    (turns("user: a", 'assistant: <tool_call>{"name": "f"}</tool_call> so'), "text behind a tool call"),
    (turns("user: \U0010fffe", "assistant: b"), "the noncharacter U+10FFFE in a turn"),
    (turns("user: a", "tool: b", "assistant: c"), "a tool turn after a user turn"),
    ([{"role": "user", "content": "a", "reasoning_content": "b"}, *turns("assistant: c")], "reasoning in a user turn"),
]


@pytest.mark.parametrize(("given", "reason"), BROKEN, ids=[reason for _, reason in BROKEN])
def test_a_broken_conversation_is_a_reject_with_its_reason(given: Any, reason: str) -> None:
    assert checked(given) == Reject(reason)


def test_whole_conversations_pass_and_are_copied() -> None:
    for given in (
        turns("user: 안녕", "assistant: 안녕하세요."),
        turns("system: be brief", "user: a", "assistant: b", "user: c", "assistant: d"),
        turns("user: a", "assistant: I look", "tool: 3", "tool: 4", "assistant: 3 and 4"),
    ):
        found = checked(given)
        assert found == given and found is not given
    assert checked(turns("user: a"), last="user") == turns("user: a")


def test_reasoning_written_into_the_content_becomes_its_own_field() -> None:
    found = checked(turns("user: 2+2?", "assistant: <think>\n2 and 2\n</think>\n\n4"))
    assert found == [*turns("user: 2+2?"), {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"}]
    assert plain_text(found) == "2+2?\n\n<think>\n2 and 2\n</think>\n4"


def test_a_rewriting_step_reaches_every_message_and_the_text() -> None:
    found = checked(turns("user: my number is 1", "assistant: <think>1?</think>It is 1."))
    assert not isinstance(found, Reject)

    def mask(document: Document) -> Document:
        document.text = document.text.replace("1", "#")
        return document

    result = rewritten(with_messages(Document("x", ""), found), mask)
    assert isinstance(result, Document)
    messages = messages_of(result)
    assert messages is not None
    assert [m["content"] for m in messages] == ["my number is #", "It is #."]
    assert messages[1]["reasoning_content"] == "#?" and result.text == plain_text(messages)


def test_a_step_that_empties_a_message_makes_a_reject() -> None:
    found = checked(turns("user: what?", "assistant: spam"))
    assert not isinstance(found, Reject)

    def clean(document: Document) -> Document:
        document.text = document.text.replace("spam", "")
        return document

    assert rewritten(with_messages(Document("x", ""), found), clean) == Reject("an empty assistant turn")
