"""The class of each code point as bits in one table, and a text as an array of code points.

The table is built from Python's own results (`\\s`, `\\w` and `\\d` of `re`, Unicode composition), so that compiled
scans and patterns always agree.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from kormo_plugins.corpus.scan.bits import (
    DIGIT,
    HANGUL,
    SPACE,
    UNSURE,
    WORD,
)

if TYPE_CHECKING:
    import numpy as np

CODES = 0x110000
_PLANES = ((0, 0x10000), (0xE0000, 0xE0200))
"""Code point ranges that contain the steps' own character classes."""
# Blocks with few combining or composing characters; those are excluded.
_STABLE = (
    (0x0000, 0x0300),
    (0x2002, 0x20D0),
    (0x2100, 0x2C00),
    (0x3000, 0x3099),
    (0x309B, 0x3100),
    (0x3131, 0x318F),
    (0x3200, 0x33FF),
    (0x4E00, 0xA000),
    (0xFF00, 0xFFF0),
    (0x1F300, 0x1FB00),
)


def table(classes: dict[int, str]) -> np.ndarray:
    """The bits of every code point; uint16, shape [0x110000].

    Args:
        classes: bit -> body of a `re` character class, for classes defined by a step.
    """
    import numpy as np

    bits = np.zeros(CODES, dtype=np.uint16)
    every = np.arange(CODES, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    for bit, body in {SPACE: r"\s", WORD: r"\w", DIGIT: r"\d"}.items():
        for run in re.finditer(f"{body}+", every):
            bits[run.start() : run.end()] |= bit
    for bit, body in classes.items():
        for start, end in _PLANES:
            for run in re.compile(f"[{body}]+").finditer(every, start, end):
                bits[run.start() : run.end()] |= bit
    bits[0xAC00:0xD7A4] |= HANGUL
    bits |= np.uint16(UNSURE)
    for start, end in (*_STABLE, (0xAC00, 0xD7A4)):
        bits[start:end] &= ~np.uint16(UNSURE)
    for start, end in _STABLE:
        if start != 0x4E00:
            for code in range(start, end):
                if unicodedata.combining(every[code]) or not unicodedata.is_normalized("NFC", every[code]):
                    bits[code] |= UNSURE
    return bits
