"""Checks whether the tokenizers library splits a text into the pieces counted by `piece_counts`.

The library's normalizer and split have their own Unicode tables. Every code point of the text is therefore tried in a
few contexts, and `disputed` returns those that are treated differently; if there are any, the counts must not be used.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from kormo_plugins.tokenizer.layout import byte_symbols

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CONTEXTS = ("{}", "a{}a", "1{}1", "!{}!", " {} ", "가{}가", "'{}", "{}\u0323\u0301", "a\u0301{}\u0323", "{}")
PROBE = "\n".join(_CONTEXTS)
"""A code point at the start, at the end, alone, and between letters, digits, signs, spaces and combining marks."""


def disputed(characters: Iterable[str], tokenizer: Tokenizer) -> list[str]:
    """The characters that `tokenizer` (NFC, splits, byte level) treats differently from `piece_counts`."""
    from kormo_plugins.tokenizer.training.piece_counts import pieces

    normalizer, pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    assert normalizer is not None and pre_tokenizer is not None
    characters_differing = []
    for character in characters:
        probe = PROBE.replace("{}", character)
        their_pieces = [piece for piece, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(probe))]
        if their_pieces != list(map(in_symbols, pieces(probe))):
            characters_differing.append(character)
    return characters_differing


def in_symbols(piece: str) -> str:
    """The UTF-8 bytes of a piece as printable characters."""
    return piece.encode().decode("latin-1").translate(_table())


@cache
def _table() -> dict[int, str]:
    return dict(enumerate(byte_symbols()))
