"""Converts a turn from a dataset into normalized messages, or into the reason why it is invalid.

Formats that are normalized here, after a reader's recipe has mapped the names of columns and roles:

- content as a string, or as a list of text parts (`[{"type": "text", "text": …}]`, joined by newlines as vLLM does);
- reasoning in its own field, or in front of the answer: `<think>…</think>answer`, `…</think>answer`;
- tool calls in their own field, as the older `function_call`, or at the end of the content;
- tool results, one or several per turn, with or without `<tool_response>` around them;
- whether an answer contributes to the loss: `weight` 0 or 1 (OpenAI's fine-tuning format) or `train` (Axolotl's).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from kormo_plugins.documents.document import Reject
from kormo_plugins.documents.message import END_THINK, RESERVED, ROLES, TAGS, THINK, TURN_TOKENS, Message, Role
from kormo_plugins.documents.tool_calls import calls_in_text, responses, tool_calls

EMPTY_SYSTEM = "an empty system turn was left out"


def messages_of_turn(turn: object) -> list[Message] | Reject:
    """The messages of one turn: one message, several for several tool results, or none for an empty system turn."""
    if not isinstance(turn, Mapping):
        return Reject("a turn that is no mapping")
    role, content = turn.get("role"), content_text(turn.get("content"))
    if role not in ROLES:
        return Reject(f"unknown role {str(role)[:20]!r}")
    if isinstance(content, Reject):
        return content
    weight = _weight(turn, role)
    if isinstance(weight, Reject):
        return weight
    if role == "assistant":
        answer = _answer(turn, content)
        return answer if isinstance(answer, Reject) else [answer | weight]
    if content is None:
        return [] if role == "system" else Reject("a turn without content")
    if turn.get("reasoning_content"):
        return Reject(f"reasoning in a {role} turn")
    if turn.get("tool_calls") or turn.get("function_call"):
        return Reject(f"tool calls in a {role} turn")
    return _plain(role, content)


def content_text(content: object) -> str | Reject | None:
    """The text of a turn's content; None if there is none."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list | tuple) or not content:
        return Reject("content that is no text")
    texts: list[str] = []
    for part in content:
        if not isinstance(part, Mapping):
            return Reject("content that is no text")
        if part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            return Reject(f"content with a part of type {str(part.get('type'))[:20]!r}")
        texts.append(part["text"])
    return "\n".join(texts)


def _plain(role: Role, content: str) -> list[Message] | Reject:
    messages: list[Message] = []
    for text in responses(content) if role == "tool" else [content]:
        text = text.strip("\n")
        if not text or text.isspace():
            if role == "system":
                continue
            return Reject(f"an empty {role} turn")
        if fault := _control(text, TURN_TOKENS):
            return fault
        messages.append({"role": role, "content": text})
    return messages


def _answer(turn: Mapping[str, object], content: str | None) -> Message | Reject:
    reasoning, given = turn.get("reasoning_content") or "", turn.get("tool_calls") or turn.get("function_call")
    if not isinstance(reasoning, str):
        return Reject("content that is no text")
    if content is None and not given:
        return Reject("a turn without content")
    content = content or ""
    if not reasoning:
        reasoning, content = _thought(content)
    written = calls_in_text(content)
    calls = tool_calls(given) if given else []
    if isinstance(written, Reject) or isinstance(calls, Reject):
        return written if isinstance(written, Reject) else cast(Reject, calls)
    content, more = written
    reasoning, content = _trimmed(reasoning), _trimmed(content)
    if not content and not calls + more:
        return Reject("an empty assistant turn")
    if fault := _control(content, TURN_TOKENS + TAGS) or _control(reasoning, TURN_TOKENS + TAGS):
        return fault
    message: Message = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls + more:
        message["tool_calls"] = calls + more
    return message


def _thought(content: str) -> tuple[str, str]:
    """Splits reasoning from the answer at `</think>`, with or without the opening mark."""
    before, mark, after = content.partition(END_THINK)
    if not mark or END_THINK in after:
        return "", content
    return before.lstrip().removeprefix(THINK), after


def _trimmed(text: str) -> str:
    """Strips leading blank lines and trailing newlines: white space at the edge of the loss mask could be tokenized
    together with the template's newline."""
    rest = text.lstrip()
    lead = text[: len(text) - len(rest)].replace("\r", "\n")
    return lead.rpartition("\n")[2] + rest.rstrip("\n") if rest else ""


def _control(text: str, tokens: tuple[str, ...]) -> Reject | None:
    if RESERVED in text:
        return Reject("the noncharacter U+10FFFE in a turn")
    return next((Reject(f"the control token {token} in a turn") for token in tokens if token in text), None)


def _weight(turn: Mapping[str, object], role: Role) -> Message | Reject:
    """`weight: 0` for an answer excluded from the loss, nothing for every other turn."""
    wanted: set[int] = set()
    for key in ("weight", "train"):
        value = turn.get(key)
        if value is None:
            continue
        if not isinstance(value, int | float) or value not in (0, 1):
            return Reject(f"a {key} of {str(value)[:20]}, where a turn is trained (1) or not (0)")
        wanted.add(int(value))
    if len(wanted) == 2:
        return Reject("weight and train that contradict each other")
    if wanted == {1} and role != "assistant":
        return Reject(f"a {role} turn that is to be trained")
    return cast(Message, {"weight": 0} if wanted == {0} and role == "assistant" else {})
