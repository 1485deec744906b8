"""Shows a rendered conversation: its text in pieces, each trained or not.

Needs no tokenizer: the packaged chat template is rendered with marks around the trained parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kormo_plugins.documents.message import JsonValue, Message
from kormo_plugins.tokenizer.chat.template import chat_template

if TYPE_CHECKING:
    from rich.text import Text

BEGIN, END = "\U0010fffc", "\U0010fffd"
TAG = re.compile(r"\{%(-?) (end)?generation (-?)%\}")
TRAINED, SHOWN = "bold green", "dim"
"""Styles used by `coloured`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a rendered conversation; `trained`: its tokens contribute to the loss."""

    text: str
    trained: bool


def chat_pieces(messages: Sequence[Message], tools: Sequence[JsonValue] | None = None) -> list[Piece]:
    """Renders a conversation with the chat template, in pieces; answers of weight 0 are not trained.

    Args:
        messages: validated messages, as returned by `documents.conversation`.
    Raises:
        jinja2.TemplateError: the template refuses the conversation.
    """
    text: Any = _marking().apply_chat_template(list(messages), tools=list(tools) if tools else None, tokenize=False)
    weights = iter(message.get("weight", 1) for message in messages if message["role"] == "assistant")
    pieces: list[Piece] = []
    for part in re.split(f"({BEGIN}[^{END}]*{END})", text):
        answer = part.startswith(BEGIN)
        trained = answer and next(weights) != 0
        if part:
            pieces.append(Piece(part[1:-1] if answer else part, trained))
    return pieces


def coloured(pieces: Sequence[Piece]) -> Text:
    """The pieces as `rich` text: trained parts in green, the rest dimmed."""
    from rich.text import Text

    return Text.assemble(*((piece.text, TRAINED if piece.trained else SHOWN) for piece in pieces))


@lru_cache(maxsize=1)
def _marking() -> Any:
    """A tokenizer without a vocabulary whose chat template puts BEGIN and END around the trained parts."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    def mark(match: re.Match[str]) -> str:
        """Replaces a template tag by an expression that writes a mark where the assistant's part begins or ends."""
        return "{{" + match[1] + f" '{END if match[2] else BEGIN}' " + match[3] + "}}"

    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()), chat_template=TAG.sub(mark, chat_template()))
