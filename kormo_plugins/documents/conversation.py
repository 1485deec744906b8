"""Conversations: the form in which turns go from room to room.

A conversation is a `Document` like any other, with its turns in `meta["messages"]` and, as its `text`, what a person
would read of them, so that filters, deduplication and reports need to know nothing about turns:

    meta["messages"]   [{"role": "user", "content": "…"},
                        {"role": "assistant", "content": "…", "reasoning_content": "…"}]
    meta["tools"]      signatures of the functions that may be called, where there are any
    text               the contents with a blank line between them, reasoning between <think> marks

`checked` turns somebody's list of turns into messages, or says in a few words why it is none; `rewritten` applies a
step that changes text to every message, so that nothing is clean in `text` and dirty in what is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, cast

from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.message import Function, JsonValue, Message, Role, ToolCall, message_text
from kormo_plugins.documents.turn import EMPTY_SYSTEM, messages_of_turn

MESSAGES, TOOLS, NOTES = "messages", "tools", "reader_notes"
"""Keys of `Document.meta`."""
TEXTS: tuple[Literal["content"], Literal["reasoning_content"]] = ("content", "reasoning_content")
Step = Callable[[Document], Document | Reject]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages in their one form.

    Args:
        messages: in new dicts.
        notes: what was left out on the way, in a few words each.
    """

    messages: list[Message]
    notes: tuple[str, ...] = ()


def conversation(turns: object, *, last: Role = "assistant") -> Conversation | Reject:
    """The conversation that a list of turns is.

    Args:
        turns: mappings with `role`, `content` and perhaps `reasoning_content`, `tool_calls`, `weight` or `train`
            (`turn.py` has all forms).
        last: role of the last turn (`user` for a prompt that is still to be answered).
    Returns:
        the conversation, or the reason why it is none. An empty system turn is left out, with a note.
    """
    if not isinstance(turns, list | tuple) or not turns:
        return Reject("no list of turns")
    messages: list[Message] = []
    notes: list[str] = []
    for turn in turns:
        found = messages_of_turn(turn)
        if isinstance(found, Reject):
            return found
        messages += found
        notes += [] if found else [EMPTY_SYSTEM]
    fault = _order([message["role"] for message in messages], last)
    if not fault and last == "assistant" and not any(map(is_trained, messages)):
        fault = "no turn that is trained"
    return Reject(fault) if fault else Conversation(messages, tuple(notes))


def checked(turns: object, *, last: Role = "assistant") -> list[Message] | Reject:
    """The messages of a list of turns, or the reason why it is no conversation; as `conversation`."""
    found = conversation(turns, last=last)
    return found if isinstance(found, Reject) else found.messages


def is_trained(message: Message) -> bool:
    """Whether the loss is taken of this message."""
    return message["role"] == "assistant" and message.get("weight", 1) != 0


def _order(roles: Sequence[Role], last: Role) -> str:
    """What is wrong with the order of the turns: an optional system turn and perhaps an assistant's greeting, then a
    user's, then each answered by an assistant, whose tools may answer before it goes on."""
    turns = roles[1:] if roles and roles[0] == "system" else roles
    if "system" in turns:
        return "a system turn that is not the first"
    if "user" not in turns:
        return "no user turn"
    if turns[0] == "tool":
        return "the first turn is of the tool"
    for before, after in pairwise(turns):
        if before == after != "tool":
            return f"two {after} turns in a row"
        if (before, after) in (("user", "tool"), ("tool", "user")):
            return f"a {after} turn after a {before} turn"
    return "" if turns[-1] == last else f"the last turn is of the {turns[-1]}"


def plain_text(messages: Sequence[Message]) -> str:
    """What a person reads of a conversation; the `text` of its document."""
    return "\n\n".join(map(message_text, messages))


def messages_of(document: Document) -> list[Message] | None:
    """The messages of a document; None if it is a text."""
    messages: list[Message] | None = document.meta.get(MESSAGES)
    return messages


def tools_of(document: Document) -> list[dict[str, JsonValue]] | None:
    """The signatures of the tools of a conversation; None if it has none."""
    return document.meta.get(TOOLS) or None


def with_messages(document: Document, messages: list[Message]) -> Document:
    """The document as this conversation: `meta["messages"]` and the `text` that belongs to it."""
    return replace(document, text=plain_text(messages), meta={**document.meta, MESSAGES: messages})


def rewritten(document: Document, step: Step) -> Document | Reject:
    """A corpus step applied to a conversation.

    The step first sees the whole, so that a filter judges what a person reads. Did it change the text, it is applied
    to every message by itself (`rewritten_message`), and the text is made of these again.

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
        again = rewritten_message(document, message, step)
        if isinstance(again, Reject):
            return again
        changed.append(again)
    found = checked(changed, last=changed[-1]["role"])
    return found if isinstance(found, Reject) else with_messages(result, found)


def rewritten_message(document: Document, message: Message, step: Step) -> Message | Reject:
    """A step applied to the content, the reasoning and every text among the arguments of calls of one message.

    Args:
        document: whose message it is; the step sees its provenance.
    """
    changed = Message(**message)
    for key in TEXTS:
        if text := message.get(key):
            part = step(replace(document, text=text, meta={}))
            if isinstance(part, Reject):
                return part
            changed[key] = part.text
    calls: list[ToolCall] = []
    for call in message.get("tool_calls", ()):
        arguments = _rewritten_json(document, call["function"]["arguments"], step)
        if isinstance(arguments, Reject):
            return arguments
        function = Function(name=call["function"]["name"], arguments=cast(dict[str, JsonValue], arguments))
        calls.append({"type": call["type"], "function": function})
    if calls:
        changed["tool_calls"] = calls
    return changed


def _rewritten_json(document: Document, value: JsonValue, step: Step) -> JsonValue | Reject:
    """Every text of a JSON value rewritten; a step that drops one drops the whole."""
    if isinstance(value, str):
        part = step(replace(document, text=value, meta={})) if value.strip() else None
        return part if isinstance(part, Reject) else value if part is None else part.text
    if not isinstance(value, Mapping | list):
        return value
    changed: dict[str | int, JsonValue] = {}
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        again = _rewritten_json(document, item, step)
        if isinstance(again, Reject):
            return again
        changed[key] = again
    return cast(JsonValue, changed if isinstance(value, Mapping) else list(changed.values()))
