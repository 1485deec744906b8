"""One message of a conversation: its type, its roles, and the tokens reserved for the chat template."""

from __future__ import annotations

import json
from typing import Literal, Required, TypeAlias, TypedDict

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
TURN_TOKENS = ("<|BOS|>", "<|EOS|>", "<|PAD|>", "<|BOT|>", "<|EOT|>")
"""Turn start and end tokens. A message that contains one is left over from another template's rendering."""
THINK, END_THINK = "<think>", "</think>"
TAGS = (THINK, END_THINK, "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
"""Tokens that the template writes around reasoning, calls and results; inside user text they are plain characters."""
RESERVED = "\U0010fffe"
"""A Unicode noncharacter, not allowed in any text. The encoder's placeholders for the tokens above begin with it."""

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"


class Function(TypedDict):
    """A function call: `name`, and `arguments` as an object."""

    name: str
    arguments: dict[str, JsonValue]


class ToolCall(TypedDict):
    """A call in OpenAI's chat format; `type` is `function`."""

    type: str
    function: Function


class Message(TypedDict, total=False):
    """A turn in normalized form.

    `weight` is 0 for an assistant turn that is excluded from the loss, and absent otherwise. `content` is empty only
    beside `tool_calls`. Reasoning, weight and calls belong to assistant turns only.
    """

    role: Required[Role]
    content: Required[str]
    reasoning_content: str
    tool_calls: list[ToolCall]
    weight: int


def message_text(message: Message) -> str:
    """Renders a message as plain text: reasoning between its marks, content, and each call as a line of JSON."""
    calls = [json.dumps(call["function"], ensure_ascii=False) for call in message.get("tool_calls", ())]
    content = "\n".join([*([message["content"]] if message["content"] or not calls else []), *calls])
    reasoning = message.get("reasoning_content")
    return f"{THINK}\n{reasoning}\n{END_THINK}\n{content}" if reasoning else content
