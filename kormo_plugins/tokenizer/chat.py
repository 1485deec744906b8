"""Conversations as text: KORMo's chat template, its training mask, and the way back.

The layout of a turn and what is trained of it:

    <|BOT|>user⏎ question <|EOT|>⏎                              nothing
    <|BOT|>assistant⏎ | answer <|EOT|> | ⏎                      an earlier turn: what stands between the bars
    <|BOT|>assistant⏎<think>⏎ | reasoning ⏎</think>⏎⏎ answer <|EOT|>⏎ |    the last turn
    <|BOT|>assistant⏎<think>⏎⏎</think>⏎⏎ | answer <|EOT|>⏎ |    the last turn without reasoning

What is not trained of the last turn is exactly the generation prompt, with thinking switched on or off, so a
model is asked in use for what it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def chat_template() -> str:
    """The Jinja source that is written beside every tokenizer."""
    return files(__package__).joinpath("chat_template.jinja").read_text(encoding="utf-8")


def encode_chat(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, Any]], **options: Any
) -> tuple[list[int], list[int]]:
    """Ids and training mask (1: this token is predicted) of one conversation, both of its length in tokens.

    Args:
        options: `tools`, `enable_thinking`, … as for `apply_chat_template`.
    """
    both: Any = tokenizer.apply_chat_template(
        list(messages), tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **options
    )
    return list(both["input_ids"]), list(both["assistant_masks"])
