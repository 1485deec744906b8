"""KORMo's chat template: renders conversations with their loss mask, and parses them back.

The layout of a turn and its trained part:

    <|BOT|>user⏎ question <|EOT|>⏎                              nothing
    <|BOT|>assistant⏎ | answer <|EOT|> | ⏎                      an earlier turn: the part between the bars
    <|BOT|>assistant⏎<think>⏎ | reasoning ⏎</think>⏎⏎ answer <|EOT|>⏎ |    the last turn
    <|BOT|>assistant⏎<think>⏎⏎</think>⏎ | answer <|EOT|>⏎ |    the last turn without reasoning

The untrained part of the last turn is exactly the generation prompt, with thinking on or off, so inference uses the
same prompts as training.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TURN = re.compile(r"<\|BOT\|>(\w+)\n(.*?)<\|EOT\|>\n", re.DOTALL)
CALLS = re.compile(r"(?:\n|^)<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
THINK, END_THINK = "<think>\n", "\n</think>\n"


def chat_template() -> str:
    """The Jinja source that is saved beside every tokenizer."""
    return files(__package__).joinpath("chat_template.jinja").read_text(encoding="utf-8")


def encode_chat(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, Any]], **options: Any
) -> tuple[list[int], list[int]]:
    """Ids and loss mask (1: this token is predicted) of one conversation, both as long as its tokens.

    Args:
        options: `tools`, `enable_thinking`, … as for `apply_chat_template`.
    """
    encoded: Any = tokenizer.apply_chat_template(
        list(messages), tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **options
    )
    return list(encoded["input_ids"]), list(encoded["assistant_masks"])


def parse_chat(text: str) -> list[dict[str, object]]:
    """Parses a rendered conversation; the inverse of the template.

    Text that the template omits cannot be recovered: the reasoning of earlier turns. A system message that lists tools
    is returned as its rendered text.

    Raises:
        KormoError: the text is not a sequence of complete turns.
    """
    messages, place = [], 0
    while place < len(text):
        turn = TURN.match(text, place)
        if not turn:
            raise KormoError(
                where=f"conversation, character {place:,}",
                found=repr(text[place : place + 40]),
                why="a turn must have the form <|BOT|>role, newline, content, <|EOT|>, newline",
                do="give the text as the chat template renders it, without a generation prompt",
            )
        messages.append(_message(turn[1], turn[2]))
        place = turn.end()
    return messages


def _message(role: str, body: str) -> dict[str, object]:
    if role == "tool":
        body = body.removeprefix("<tool_response>\n").removesuffix("\n</tool_response>")
    if role != "assistant":
        return {"role": role, "content": body}
    message: dict[str, object] = {"role": role}
    if body.startswith(THINK):
        reasoning, _, body = body.removeprefix(THINK).partition(END_THINK)
        body = body.removeprefix("\n")  # reasoning is followed by two
        if reasoning:
            message["reasoning_content"] = reasoning
    calls = [{"type": "function", "function": json.loads(call)} for call in CALLS.findall(body)]
    message["content"] = CALLS.sub("", body) if calls else body
    return message | ({"tool_calls": calls} if calls else {})
