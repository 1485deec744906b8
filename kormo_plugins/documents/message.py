"""One message of a conversation: its type, its roles, and the tokens that only the chat template writes."""

from __future__ import annotations

import json
from typing import Literal, Required, TypeAlias, TypedDict

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
TURN_TOKENS = ("<|BOS|>", "<|EOS|>", "<|PAD|>", "<|BOT|>", "<|EOT|>")
"""Ends and beginnings. A message that spells one is the remains of another template's rendering."""
THINK, END_THINK = "<think>", "</think>"
TAGS = (THINK, END_THINK, "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
"""Written by the template around reasoning, calls and results; in what a person wrote they are characters."""
RESERVED = "\U0010fffe"
"""A noncharacter that no text may hold: the encoder's stand-in for the tokens above begins with it."""

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"


class Function(TypedDict):
    """What is called: `name`, and `arguments` as an object."""

    name: str
    arguments: dict[str, JsonValue]


class ToolCall(TypedDict):
    """A call as in OpenAI's chat format; `type` is `function`."""

    type: str
    function: Function


class Message(TypedDict, total=False):
    """A turn in its one form.

    `weight` is 0 for an answer that is shown and not trained, and absent otherwise; `content` is empty only beside
    `tool_calls`. Reasoning, weight and calls are of an assistant.
    """

    role: Required[Role]
    content: Required[str]
    reasoning_content: str
    tool_calls: list[ToolCall]
    weight: int


def message_text(message: Message) -> str:
    """What a person reads of a message: reasoning between its marks, content, and each call as a line of JSON."""
    calls = [json.dumps(call["function"], ensure_ascii=False) for call in message.get("tool_calls", ())]
    said = "\n".join([*([message["content"]] if message["content"] or not calls else []), *calls])
    reasoning = message.get("reasoning_content")
    return f"{THINK}\n{reasoning}\n{END_THINK}\n{said}" if reasoning else said
