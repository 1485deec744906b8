"""One look at every character of a text: what `normalize` and `mojibake` count, and what later steps can pass over."""

from __future__ import annotations

import numpy as np

from kormo_plugins.corpus.scan.bits import RARE, SUSPECT
from kormo_plugins.store.compiled import njit

(
    ANY,
    TRAILING,
    NEWLINES,
    LOST,
    SUSPECT_RUN,
    MOJIBAKE,
    ASCII,
    SYLLABLES,
    RARE_SYLLABLES,
    MARKUP,
    CODE,
    COLONS,
    FIELDS,
) = range(13)
"""Places of the answer: all bits that occur; blanks before a line end; longest run of line feeds; replacement
characters; longest run of suspects; suspects in runs of three or more with a Latin one; ASCII characters; Hangul
syllables; those outside KS X 1001; signs of markup (`<`, `&`); backticks and tildes; colons."""


@njit()
def _longest(codes: np.ndarray) -> int:
    """Line feeds of the longest run of them."""
    longest = run = 0
    for code in codes:
        run = run + 1 if code == 10 else 0
        longest = max(longest, run)
    return longest


@njit()
def _suspects(codes: np.ndarray, bits: np.ndarray, found: np.ndarray) -> None:
    """Writes what is to be said of runs of suspects."""
    longest, mojibake, run, latin = 0, 0, 0, False
    for code in codes:
        if bits[code] & SUSPECT:
            run += 1
            latin |= code < 256
        elif run:
            longest = max(longest, run)
            if run > 2 and latin:
                mojibake += run
            run, latin = 0, False
    longest = max(longest, run)
    if run > 2 and latin:
        mojibake += run
    found[SUSPECT_RUN], found[MOJIBAKE] = longest, mojibake


@njit()
def survey(codes: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """What the characters of a text are.

    Args:
        codes: uint32, shape [characters].
        bits: of each code point, uint16, shape [0x110000].
    Returns:
        int64, shape [FIELDS].
    """
    found = np.zeros(FIELDS, dtype=np.int64)
    ascii_ = syllables = lost = colons = markup = code_signs = trailing = doubled = newlines = 0
    before = np.uint32(0)
    for code in codes:  # without a branch and without a table, so that many characters are compared at once
        ascii_ += code < 128
        newlines += code == 10
        doubled += (code == 10) & (before == 10)
        trailing += (code == 10) & ((before == 32) | (before == 9))
        markup += (code == 60) | (code == 38)
        code_signs += (code == 96) | (code == 126)
        colons += (code == 58) | (code == 0xFF1A)
        lost += code == 0xFFFD
        syllables += (code >= 0xAC00) & (code <= 0xD7A3)
        before = code
    every, rare = np.uint16(0), 0
    for code in codes:
        bit = bits[code]
        every |= bit
        rare += bit & RARE != 0
    found[NEWLINES] = _longest(codes) if doubled else min(newlines, 1)
    if every & SUSPECT:
        _suspects(codes, bits, found)
    found[ANY], found[TRAILING], found[LOST], found[ASCII] = every, trailing, lost, ascii_
    found[SYLLABLES], found[RARE_SYLLABLES] = syllables, rare
    found[MARKUP], found[CODE], found[COLONS] = markup, code_signs, colons
    return found
