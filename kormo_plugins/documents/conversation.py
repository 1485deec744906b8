"""Conversations: the form in which turns go from room to room.

A conversation is a `Document` like any other, with its turns in `meta["messages"]` and, as its `text`, what a person
would read of them, so that filters, deduplication and reports need to know nothing about turns:

    meta["messages"]   [{"role": "user", "content": "…"},
                        {"role": "assistant", "content": "…", "reasoning_content": "…"}]
    text               the contents with a blank line between them, reasoning between <think> marks

`checked` turns somebody's list of turns into messages, or says in a few words why it is none; `rewritten` applies a
step that changes text to every message, so that nothing is clean in `text` and dirty in what is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from kormo_plugins.documents.document import Document, Reject

MESSAGES = "messages"
"""Key of `Document.meta`."""
ROLES = ("system", "user", "assistant", "tool")
CONTROL = ("<|BOS|>", "<|EOS|>", "<|PAD|>", "<|BOT|>", "<|EOT|>", "<think>", "</think>")
"""Tokens that the chat template writes; within a message they would end its turn, or begin another's."""
THINK, END_THINK = "<think>", "</think>"

Message = dict[str, str]
"""`role`, `content` and, of an assistant that thought first, `reasoning_content`."""


def checked(turns: Any, *, last: str = "assistant") -> list[Message] | Reject:
    """The messages of a list of turns.

    Args:
        turns: mappings with `role`, `content` and perhaps `reasoning_content`. An assistant's content that begins with
            `<think>…</think>` is divided into its two fields.
        last: role of the last turn (`user` for a prompt that is still to be answered).
    Returns:
        the messages, in new dicts, or the reason why this is not a conversation.
    """
    if not isinstance(turns, list | tuple) or not turns:
        return Reject("no list of turns")
    messages: list[Message] = []
    for turn in turns:
        message = _message(turn)
        if isinstance(message, Reject):
            return message
        messages.append(message)
    fault = _order([message["role"] for message in messages], last)
    return Reject(fault) if fault else messages


def _message(turn: Any) -> Message | Reject:
    if not isinstance(turn, Mapping):
        return Reject("a turn that is no mapping")
    role, content, reasoning = turn.get("role"), turn.get("content"), turn.get("reasoning_content") or ""
    if role not in ROLES:
        return Reject(f"unknown role {str(role)[:20]!r}")
    if turn.get("tool_calls"):
        return Reject("a turn with tool_calls")
    if not isinstance(content, str) or not isinstance(reasoning, str):
        return Reject("a turn without content" if content is None else "content that is no text")
    if role == "assistant" and not reasoning and content.lstrip().startswith(THINK) and END_THINK in content:
        reasoning, _, content = content.lstrip().removeprefix(THINK).partition(END_THINK)
    reasoning = "" if reasoning.isspace() else reasoning.strip("\n")
    content = content.strip("\n")
    if not content or content.isspace():
        return Reject(f"an empty {role} turn")
    if reasoning and role != "assistant":
        return Reject(f"reasoning in a {role} turn")
    for token in CONTROL:
        if token in content or token in reasoning:
            return Reject(f"the control token {token} in a turn")
    message = {"role": str(role), "content": content}
    return message | {"reasoning_content": reasoning} if reasoning else message


def _order(roles: list[str], last: str) -> str:
    """What is wrong with the order of the turns: an optional system turn, then a user's, then each answered by an
    assistant, whose tools may answer before it goes on."""
    turns = roles[1:] if roles[0] == "system" else roles
    if "system" in turns:
        return "a system turn that is not the first"
    if "user" not in turns:
        return "no user turn"
    if turns[0] != "user":
        return f"the first turn is of the {turns[0]}"
    for before, after in pairwise(turns):
        if before == after != "tool":
            return f"two {after} turns in a row"
        if (before, after) in (("user", "tool"), ("tool", "user")):
            return f"a {after} turn after a {before} turn"
    return "" if turns[-1] == last else f"the last turn is of the {turns[-1]}"


def plain_text(messages: list[Message]) -> str:
    """What a person reads of a conversation; the `text` of its document."""
    return "\n\n".join(
        f"{THINK}\n{message['reasoning_content']}\n{END_THINK}\n{message['content']}"
        if message.get("reasoning_content")
        else message["content"]
        for message in messages
    )


def messages_of(document: Document) -> list[Message] | None:
    """The messages of a document; None if it is a text."""
    messages: list[Message] | None = document.meta.get(MESSAGES)
    return messages


def with_messages(document: Document, messages: list[Message]) -> Document:
    """The document as this conversation: `meta["messages"]` and the `text` that belongs to it."""
    return replace(document, text=plain_text(messages), meta={**document.meta, MESSAGES: messages})


def rewritten(document: Document, step: Callable[[Document], Document | Reject]) -> Document | Reject:
    """A corpus step applied to a conversation.

    The step first sees the whole, so that a filter judges what a person reads. Did it change the text, it is applied to
    the content and the reasoning of every message by itself, and the text is made of these again.

    Returns:
        the document; or the step's reject, of the whole or of a message; or a reject if a message was left empty.
    """
    messages = messages_of(document)
    before = document.text
    result = step(document)
    if messages is None or isinstance(result, Reject) or result.text == before:
        return result
    changed: list[Message] = []
    for message in messages:
        parts = dict(message)
        for key in ("content", "reasoning_content"):
            if key in message:
                part = step(replace(document, text=message[key], meta={}))
                if isinstance(part, Reject):
                    return part
                parts[key] = part.text
        changed.append(parts)
    again = checked(changed, last=changed[-1]["role"])
    return again if isinstance(again, Reject) else with_messages(result, again)
