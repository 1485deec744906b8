"""Bits per byte does not know which tokenizer was used."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kormo_plugins.bits import bits_per_byte, text_bytes

TEXT = "나무 아래에서 The secret number is 1,234 그리고 끝.\n"


@given(st.binary(min_size=1, max_size=200))
def test_a_uniform_guess_of_bytes_pays_eight_bits(data: bytes) -> None:
    assert bits_per_byte(len(data) * math.log(256), len(data)) == pytest.approx(8)


@given(st.lists(st.integers(1, 60), min_size=1), st.floats(0.1, 12))
def test_invariant_to_how_the_text_is_cut(cuts: list[int], bits: float) -> None:
    """A model that gives every byte the same probability gives a token the product of its bytes': however the text is
    cut into tokens, their sum is the same."""
    whole = sum(cuts)
    nll = sum(cut * bits * math.log(2) for cut in cuts)
    assert bits_per_byte(nll, whole) == pytest.approx(bits)


def test_invariant_to_real_tokenizers(tokenizers: dict[str, Path]) -> None:
    """Two tokenizers, one model: uniform over bytes. A token's probability is that of the bytes that it spells."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizers["base"])
    ids = tokenizer(TEXT, add_special_tokens=False, return_offsets_mapping=True)
    assert len(ids["input_ids"]) < text_bytes(TEXT)
    spelled = [text_bytes(tokenizer.decode([one])) for one in ids["input_ids"]]
    by_characters = [text_bytes(character) for character in TEXT]
    price = 5 * math.log(2)
    values = [bits_per_byte(price * sum(cut), text_bytes(TEXT)) for cut in (by_characters, [1] * text_bytes(TEXT))]
    if sum(spelled) == text_bytes(TEXT):  # no token is a part of a character
        values.append(bits_per_byte(price * sum(spelled), text_bytes(TEXT)))
    assert values == pytest.approx([5.0] * len(values))


def test_no_text_has_no_mean() -> None:
    with pytest.raises(ValueError, match="there must be text"):
        bits_per_byte(1.0, 0)
    with pytest.raises(UnicodeEncodeError):
        text_bytes("\ud800")
