"""Bits per byte: a loss measure that does not depend on the tokenizer.

Losses per token are comparable only between models with the same tokenizer: longer tokens are fewer and each has a
higher loss. The number of UTF-8 bytes of a text is the same for every model, so

    bits per byte = (sum over the text's tokens of -ln p(token | before)) / (ln 2 · bytes of the text)

(The Pile, arXiv 2101.00027, section 3.1). Tokens that stand for no byte of the text, such as the end-of-document token,
are predicted too; include their loss only if it is included for every model compared.
"""

from __future__ import annotations

import math


def text_bytes(text: str) -> int:
    """UTF-8 bytes of a text (3 for a Hangul syllable).

    Raises:
        UnicodeEncodeError: the text has a lone surrogate.
    """
    return len(text.encode("utf-8"))


def bits_per_byte(nll_sum_nats: float, bytes: int) -> float:
    """Bits per byte.

    Args:
        nll_sum_nats: negative log-likelihood, summed (not averaged) over the tokens, in nats.
        bytes: UTF-8 bytes of the text that those tokens encode.
    Returns:
        0.0 for a model that predicts the text with certainty; 8.0 for a uniform guess over bytes.
    Raises:
        ValueError: `bytes` is not positive.
    """
    if bytes <= 0:
        raise ValueError(f"bits per byte of {bytes} bytes: there must be at least one byte of text")
    return nll_sum_nats / (math.log(2) * bytes)
