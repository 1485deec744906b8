"""Bits per byte: what a model pays for a text, in a unit that no tokenizer can change.

A loss per token compares nothing but models of one tokenizer: longer tokens are fewer and each costs more. The text
itself has a size that is everybody's, its UTF-8 bytes, so

    bits per byte = (sum over the text's tokens of -ln p(token | before)) / (ln 2 · bytes of the text)

(The Pile, arXiv 2101.00027, section 3.1). Tokens that stand for no byte of the text (a document's end) are predicted
too; count their loss only where every model compared is charged for them.
"""

from __future__ import annotations

import math


def text_bytes(text: str) -> int:
    """UTF-8 bytes of a text (3 for a Hangul syllable).

    Raises:
        UnicodeEncodeError: a lone surrogate, which is no text.
    """
    return len(text.encode("utf-8"))


def bits_per_byte(nll_sum_nats: float, bytes: int) -> float:
    """Bits per byte.

    Args:
        nll_sum_nats: negative log-likelihood, summed (not averaged) over the tokens, in nats.
        bytes: UTF-8 bytes of the text that those tokens spell.
    Returns:
        0.0 for a model that knew the text; 8.0 for one that guesses bytes uniformly.
    Raises:
        ValueError: no bytes; the mean over nothing is not zero.
    """
    if bytes <= 0:
        raise ValueError(f"bits per byte of {bytes} bytes: there must be text")
    return nll_sum_nats / (math.log(2) * bytes)
