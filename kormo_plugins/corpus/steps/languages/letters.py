"""Tables: the script of a code point, its lower-case form, and Han characters specific to one variant.

The compiled pass looks them up.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kormo_plugins.corpus.steps.languages.kernel import JAPANESE, NONE, SIMPLIFIED, TRADITIONAL

SCRIPTS: tuple[tuple[str, tuple[tuple[int, int], ...]], ...] = (
    ("latin", ((0x41, 0x5B), (0x61, 0x7B), (0xC0, 0x250), (0x1E00, 0x1F00), (0xFF21, 0xFF3B), (0xFF41, 0xFF5B))),
    ("hangul", ((0x1100, 0x1200), (0x3130, 0x3190), (0xAC00, 0xD7A4))),
    ("kana", ((0x3040, 0x3100), (0x31F0, 0x3200), (0xFF66, 0xFFA0))),
    ("han", ((0x3005, 0x3006), (0x3400, 0xA000), (0xF900, 0xFB00))),
    ("cyrillic", ((0x400, 0x530),)),
    ("el", ((0x370, 0x400), (0x1F00, 0x2000))),
    ("th", ((0xE01, 0xE5C),)),
    ("ar", ((0x620, 0x700), (0x750, 0x780), (0xFB50, 0xFE00), (0xFE70, 0xFF00))),
    ("he", ((0x5D0, 0x5F5),)),
    ("hi", ((0x900, 0x980),)),
    ("bn", ((0x980, 0xA00),)),
    ("ta", ((0xB80, 0xC00),)),
    ("te", ((0xC00, 0xC80),)),
    ("kn", ((0xC80, 0xD00),)),
    ("ml", ((0xD00, 0xD80),)),
    ("si", ((0xD80, 0xE00),)),
    ("lo", ((0xE80, 0xF00),)),
    ("bo", ((0xF00, 0x1000),)),
    ("my", ((0x1000, 0x10A0),)),
    ("ka", ((0x10A0, 0x1100),)),
    ("am", ((0x1200, 0x13A0),)),
    ("km", ((0x1780, 0x1800),)),
    ("hy", ((0x531, 0x58A),)),
    ("pa", ((0xA00, 0xA80),)),
    ("gu", ((0xA80, 0xB00),)),
    ("other", ((0xB00, 0xB80), (0x13A0, 0x1780), (0x1800, 0x1E00), (0x3100, 0x3130))),
)
"""Name and blocks of each script, in the order of the counts; a script used by one language has that language's
code."""


@lru_cache(maxsize=1)
def scripts() -> np.ndarray:
    """Index in `SCRIPTS` of each code point of the Basic Multilingual Plane, NONE for non-letters; uint8 [65536]."""
    table = np.full(1 << 16, NONE, dtype=np.uint8)
    for place, (_, blocks) in enumerate(SCRIPTS):
        for start, end in blocks:
            table[start:end] = place
    return table


@lru_cache(maxsize=1)
def lowered() -> np.ndarray:
    """The lower-case form of each code point; uint16 [65536]."""
    table = np.arange(1 << 16, dtype=np.uint16)
    for code in (*range(0x41, 0x530), *range(0x1E00, 0x1F00), *range(0xFF21, 0xFF5B)):
        small = chr(code).lower()
        if len(small) == 1 and ord(small) < 1 << 16:
            table[code] = ord(small)
    table[0xFF41:0xFF5B] = np.arange(0x61, 0x7B)
    table[0xFF21:0xFF3B] = np.arange(0x61, 0x7B)
    table[0x130] = 0x69  # İ
    return table


@lru_cache(maxsize=1)
def marks() -> np.ndarray:
    """Count index of Han characters specific to one variant, 0 for others; uint8 [65536].

    A character is specific if only one of the national character sets of the 1980s has it: GB 2312, Big5, JIS X 0208.
    """
    every = "".join(map(chr, range(0x4E00, 0xA000)))
    mainland, taiwan, japan = (
        frozenset(every.encode(codec, "ignore").decode(codec)) for codec in ("gb2312", "big5", "euc_jp")
    )
    table = np.zeros(1 << 16, dtype=np.uint8)
    for place, found in (
        (SIMPLIFIED, mainland - taiwan),
        (TRADITIONAL, taiwan - mainland),
        (JAPANESE, japan - mainland - taiwan),
    ):
        table[[ord(character) for character in found]] = place
    table[ord("\u3005")] = JAPANESE  # the iteration mark
    return table
