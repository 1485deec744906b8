"""A rendered conversation for people: its text in pieces, each trained or not.

Needs no tokenizer: the packaged chat template is rendered with marks at the borders of what it trains.
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
"""Styles of `coloured`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of a rendered conversation; `trained`: the loss is taken of its tokens."""

    text: str
    trained: bool


def chat_pieces(messages: Sequence[Message], tools: Sequence[JsonValue] | None = None) -> list[Piece]:
    """A conversation as the chat template writes it, in pieces; answers of weight 0 are not trained.

    Args:
        messages: checked ones, as `documents.conversation` gives them.
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
    """The pieces as a text for `rich`: what is trained in green, the rest dimmed."""
    from rich.text import Text

    return Text.assemble(*((piece.text, TRAINED if piece.trained else SHOWN) for piece in pieces))


@lru_cache(maxsize=1)
def _marking() -> Any:
    """A tokenizer without a vocabulary, whose chat template puts BEGIN and END around what is trained."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    def mark(match: re.Match[str]) -> str:
        return "{{" + match[1] + f" '{END if match[2] else BEGIN}' " + match[3] + "}}"

    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()), chat_template=TAG.sub(mark, chat_template()))
