"""What several heuristics look at: a text's scripts, words, lines, and the prose that is left without its code.

Computed once per document and remembered for the next step, which asks about the same text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

FENCE = re.compile(r"^ {0,3}(```+|~~~+)[^\n]*\n.*?(?:^ {0,3}\1[^\n]*$|\Z)", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`[^`\n]+`")
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,400}>")
_LINK = re.compile(r"https?://\S+|\]\([^)\s]*\)")
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
"""A word without the punctuation around it; in Korean an eojeol (a word with its particles and endings)."""

_EDGES = np.array(
    [0x41, 0x5B, 0x61, 0x7B, 0xC0, 0x250, 0x370, 0x400, 0x530, 0x1100, 0x1200, 0x1E00, 0x1F00,
     0x3040, 0x3100, 0x3130, 0x3190, 0x31F0, 0x3200, 0x3400, 0xA000, 0xAC00, 0xD7A4, 0xF900, 0xFB00, 0xFF66, 0xFFA0],
    dtype=np.uint32,
)  # fmt: skip
_SCRIPTS = (
    "", "latin", "", "latin", "", "latin", "", "greek", "cyrillic", "other", "hangul", "other", "latin", "other",
    "kana", "", "hangul", "", "kana", "", "han", "", "hangul", "", "han", "", "kana", "",
)  # fmt: skip
_NAMES = ("latin", "hangul", "kana", "han", "cyrillic", "greek", "other")
_INDEX = np.array([_NAMES.index(name) if name else len(_NAMES) for name in _SCRIPTS])


@dataclass(frozen=True)
class Scripts:
    """Letters of a text by script; `total` of all."""

    latin: int
    hangul: int
    kana: int
    han: int
    cyrillic: int
    greek: int
    other: int

    @property
    def total(self) -> int:
        """All letters."""
        return sum(getattr(self, name) for name in _NAMES)


def scripts(text: str) -> Scripts:
    """Counts the letters of each script (by Unicode block; digits and punctuation are not counted)."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    counts = np.bincount(_INDEX[np.searchsorted(_EDGES, codes, side="right")], minlength=len(_NAMES) + 1)
    return Scripts(*counts[: len(_NAMES)].tolist())


@lru_cache(maxsize=2)
def prose(text: str) -> str:
    """The text without code blocks, inline code, tags and addresses: what a person wrote to be read."""
    if "```" in text or "~~~" in text:
        text = FENCE.sub("\n", text)
    if "`" in text:
        text = _INLINE.sub(" ", text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    return _LINK.sub(" ", text) if "http" in text or "](" in text else text


@lru_cache(maxsize=2)
def words(text: str) -> list[str]:
    """The words of a text."""
    return WORD.findall(text)


@lru_cache(maxsize=2)
def lines(text: str) -> list[str]:
    """The lines of a text that are not empty, stripped."""
    return [line for line in (raw.strip() for raw in text.split("\n")) if line]
