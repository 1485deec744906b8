"""The pieces of a training text and how often each occurs, as the tokenizers library would cut and count them.

That library's normalizer and split carry Unicode tables of their own. So every code point of the text is put into a
few contexts, and `Pieces.disputed` says which of them it and Python treat differently: with one of those in the text,
the counts are not to be used.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from kormo_plugins.tokenizer.layout import byte_symbols

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_RUNS = re.compile(r"\n{2,}")
_CONTEXTS = ("{}", "a{}a", "1{}1", "!{}!", " {} ", "가{}가", "'{}", "{}\u0323\u0301", "a\u0301{}\u0323", "{}")
PROBE = "\n".join(_CONTEXTS)
"""A code point first, last and alone on a line, and between letters, digits, signs, spaces and combining marks."""


@dataclass(slots=True)
class Pieces:
    """Args:
    counts: occurrences of each piece of text between two splits.
    characters: every character met, before normalization.
    """

    counts: Counter[str] = field(default_factory=Counter)
    characters: set[str] = field(default_factory=set)

    def disputed(self, tokenizer: Tokenizer, split: str) -> list[str]:
        """The characters that `tokenizer` (NFC, splits, the byte level) treats in another way, sorted."""
        normalizer, pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
        assert normalizer is not None and pre_tokenizer is not None
        found = []
        for character in sorted(self.characters):
            probe = PROBE.replace("{}", character)
            theirs = [piece for piece, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(probe))]
            if theirs != list(map(in_symbols, cut(probe, split))):
                found.append(character)
        return found


def count_pieces(texts: Iterable[str], split: str) -> Pieces:
    """Counts the pieces of all texts: NFC, without runs of newlines, by the regular expression `split`.

    Memory grows with the distinct pieces alone.
    """
    found = Pieces()
    for text in texts:
        found.characters.update(text)
        found.counts.update(cut(text, split))
    return found


def cut(text: str, split: str) -> list[str]:
    """The pieces of one text, in order."""
    import regex

    text = text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)
    pattern = regex.compile(split)  # cached by the library
    return [piece for part in _RUNS.split(text) for piece in pattern.findall(part)]


def in_symbols(piece: str) -> str:
    """The UTF-8 of a piece, a printable character for each byte."""
    return piece.encode().decode("latin-1").translate(_table())


@cache
def _table() -> dict[int, str]:
    return dict(enumerate(byte_symbols()))
