"""Bits per byte does not know which tokenizer was used."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kormo_plugins.measures.bits_per_byte import bits_per_byte, text_bytes

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
    """Bytes, characters and a learned vocabulary: a model that is uniform over bytes gives a token the probability of
    the bytes that it spells, and the loss per byte is the same; the loss per token is not."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizers["base"] / "tokenizer.json"))
    learned = [len(tokenizer.id_to_token(one)) for one in tokenizer.encode(TEXT, add_special_tokens=False).ids]
    cuts = ([1] * text_bytes(TEXT), [text_bytes(character) for character in TEXT], learned)
    assert len({len(cut) for cut in cuts}) == 3
    sums = [sum(bytes * 5 * math.log(2) for bytes in cut) for cut in cuts]
    assert [bits_per_byte(nll, text_bytes(TEXT)) for nll in sums] == pytest.approx([5.0] * 3)
    assert len({round(nll / len(cut), 6) for nll, cut in zip(sums, cuts, strict=True)}) == 3


def test_no_text_has_no_mean() -> None:
    with pytest.raises(ValueError, match="there must be at least one byte of text"):
        bits_per_byte(1.0, 0)
    with pytest.raises(UnicodeEncodeError):
        text_bytes("\ud800")
