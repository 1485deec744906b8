"""Features shared by several heuristics: scripts, words, lines, and the prose of a text without its code.

Computed once per document and cached for the next step that processes the same text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from kormo_plugins.corpus.scan.text_scan import compiled, scan_of

if TYPE_CHECKING:
    import numpy as np

# Every pattern here takes linear time on any text: a 50 MB line of backticks or open brackets must not be slower. Hence
# possessive quantifiers, and `]` that ends a link.
FENCE = re.compile(r"^ {0,3}(`{3,}+|~{3,}+)[^\n]*+\n.*?(?:^ {0,3}\1[^\n]*$|\Z)", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`[^`\n가-힣]+`")
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,400}>")
_LINK = re.compile(r"https?://\S+|\]\([^)\]\s]*\)")
WORD = re.compile(r"\w+")
"""A word without surrounding punctuation; in Korean an eojeol (a word with its particles and endings)."""
_HANGUL = re.compile("[가-힣]")

_BLOCKS: tuple[tuple[int, int, str], ...] = (
    (0x41, 0x5B, "latin"),
    (0x61, 0x7B, "latin"),
    (0xC0, 0x250, "latin"),
    (0x1E00, 0x1F00, "latin"),
    (0x1100, 0x1200, "hangul"),
    (0x3130, 0x3190, "hangul"),
    (0xAC00, 0xD7A4, "hangul"),
    (0x3040, 0x3100, "kana"),
    (0x31F0, 0x3200, "kana"),
    (0xFF66, 0xFFA0, "kana"),
    (0x3400, 0xA000, "han"),
    (0xF900, 0xFB00, "han"),
    (0x400, 0x530, "cyrillic"),
    (0x370, 0x400, "greek"),
    (0x530, 0x1100, "other"),
    (0x1200, 0x1E00, "other"),
    (0x3100, 0x3130, "other"),
)
_NAMES = ("latin", "hangul", "kana", "han", "cyrillic", "greek", "other")


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    """Script of each code unit of the Basic Multilingual Plane; len(_NAMES) for non-letters."""
    import numpy as np

    table = np.full(1 << 16, len(_NAMES), dtype=np.uint8)
    for start, end, name in _BLOCKS:
        table[start:end] = _NAMES.index(name)
    return table


@dataclass(frozen=True)
class Scripts:
    """Number of letters per script, and the `total`."""

    latin: int
    hangul: int
    kana: int
    han: int
    cyrillic: int
    greek: int
    other: int

    @property
    def total(self) -> int:
        """The number of all letters."""
        return sum(getattr(self, name) for name in _NAMES)


def scripts(text: str) -> Scripts:
    """Counts the letters of each script (by Unicode block; digits and punctuation are not counted)."""
    import numpy as np

    codes = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype=np.uint16)
    counts = np.bincount(_table()[codes], minlength=len(_NAMES) + 1)
    return Scripts(*counts[: len(_NAMES)].tolist())


def prose(text: str) -> str:
    """The text without code blocks, inline code, tags and addresses."""
    return scan_of(text).prose.text if compiled(text) else _prose(text)


@lru_cache(maxsize=2)
def _prose(text: str) -> str:
    """`prose` by patterns; the reference that the compiled scan must match."""
    if "```" in text or "~~~" in text:
        text = FENCE.sub(_unless_korean, text)
    if "`" in text:
        text = _INLINE.sub(" ", text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    return _LINK.sub(" ", text) if "http" in text or "](" in text else text


def _unless_korean(block: re.Match[str]) -> str:
    # If fences do not match (a truncated or shuffled page), there is prose between them.
    return block[0] if len(_HANGUL.findall(block[0])) * 5 > len(block[0]) else "\n"


@lru_cache(maxsize=2)
def words(text: str) -> list[str]:
    """The words of a text."""
    return WORD.findall(text)


@lru_cache(maxsize=2)
def lines(text: str) -> list[str]:
    """The non-empty lines of a text, stripped."""
    return [line for line in (raw.strip() for raw in text.split("\n")) if line]
