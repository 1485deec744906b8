"""Conversations: the common representation of chat turns.

A conversation is a `Document` with its turns in `meta["messages"]`. Its `text` is the plain-text rendering of the
turns, so filters, deduplication and reports work on it without knowing about turns:

    meta["messages"]   [{"role": "user", "content": "…"},
                        {"role": "assistant", "content": "…", "reasoning_content": "…"}]
    meta["tools"]      function signatures that may be called, if any
    text               message contents separated by blank lines, reasoning between <think> marks

`checked` converts a list of turns into messages, or returns the reason why it is invalid. `rewritten` applies a
text-changing step to every message, so that the training data gets the same cleaning as `text`.
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
    """Normalized messages.

    Args:
        messages: new dicts.
        notes: short descriptions of what was left out during conversion.
    """

    messages: list[Message]
    notes: tuple[str, ...] = ()


def conversation(turns: object, *, last: Role = "assistant") -> Conversation | Reject:
    """Converts a list of turns into a conversation.

    Args:
        turns: mappings with `role`, `content` and optionally `reasoning_content`, `tool_calls`, `weight` or `train`
            (`turn.py` lists all accepted forms).
        last: role of the last turn (`user` for a prompt that has no answer yet).
    Returns:
        The conversation, or the reason why the turns are invalid. An empty system turn is dropped, with a note.
    """
    if not isinstance(turns, list | tuple) or not turns:
        return Reject("no list of turns")
    messages: list[Message] = []
    notes: list[str] = []
    for turn in turns:
        parsed = messages_of_turn(turn)
        if isinstance(parsed, Reject):
            return parsed
        messages += parsed
        notes += [] if parsed else [EMPTY_SYSTEM]
    fault = _order([message["role"] for message in messages], last)
    if not fault and last == "assistant" and not any(map(is_trained, messages)):
        fault = "no turn that is trained"
    return Reject(fault) if fault else Conversation(messages, tuple(notes))


def checked(turns: object, *, last: Role = "assistant") -> list[Message] | Reject:
    """The messages of a list of turns, or the reason why they are invalid; see `conversation`."""
    parsed = conversation(turns, last=last)
    return parsed if isinstance(parsed, Reject) else parsed.messages


def is_trained(message: Message) -> bool:
    """Whether this message contributes to the loss."""
    return message["role"] == "assistant" and message.get("weight", 1) != 0


def _order(roles: Sequence[Role], last: Role) -> str:
    """Returns what is wrong with the order of roles, or "". Valid: an optional system turn, an optional assistant
    greeting, then user turns each answered by an assistant, with tool turns allowed inside an answer."""
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
    """The plain-text rendering of a conversation; the `text` of its document."""
    return "\n\n".join(map(message_text, messages))


def messages_of(document: Document) -> list[Message] | None:
    """The messages of a document; None if it is plain text."""
    messages: list[Message] | None = document.meta.get(MESSAGES)
    return messages


def tools_of(document: Document) -> list[dict[str, JsonValue]] | None:
    """The tool signatures of a conversation; None if it has none."""
    return document.meta.get(TOOLS) or None


def with_messages(document: Document, messages: list[Message]) -> Document:
    """Returns the document with `meta["messages"]` set to these messages and `text` rendered from them."""
    return replace(document, text=plain_text(messages), meta={**document.meta, MESSAGES: messages})


def rewritten(document: Document, step: Step) -> Document | Reject:
    """Applies a corpus step to a conversation.

    The step first runs on the whole document, so that filters judge the rendered text. If it changed the text, it is
    applied to each message separately (`rewritten_message`) and the text is rendered again.

    Returns:
        The document; or the step's reject, for the whole or for one message; or a reject if a message became empty.
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
    parsed = checked(changed, last=changed[-1]["role"])
    return parsed if isinstance(parsed, Reject) else with_messages(result, parsed)


def rewritten_message(document: Document, message: Message, step: Step) -> Message | Reject:
    """Applies a step to the content, the reasoning and every string in the call arguments of one message.

    Args:
        document: the conversation that the message belongs to; the step sees its provenance.
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
    """Applies a step to every string of a JSON value; one reject rejects the value."""
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
