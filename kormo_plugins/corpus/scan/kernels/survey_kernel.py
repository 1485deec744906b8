"""One scan over all characters of a text: the counts for `normalize` and `mojibake`, and hints for later steps."""

from __future__ import annotations

import numpy as np

from kormo_plugins.corpus.scan.bits import RARE, SUSPECT
from kormo_plugins.store.compiled.functions import njit

(ANY, TRAILING, LOST, SUSPECT_RUN, MOJIBAKE, ASCII, SYLLABLES, RARE_SYLLABLES, FIELDS) = range(9)
"""Fields of the result: all bits that occur; blanks before a line end; replacement characters; longest run of
suspicious characters; those in runs of three or more with a Latin one; ASCII characters; Hangul syllables; those
outside KS X 1001."""


@njit()
def _suspects(codes: np.ndarray, bits: np.ndarray, found: np.ndarray) -> None:
    """Writes the fields about runs of suspicious characters."""
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
    """Classifies the characters of a text.

    Args:
        codes: uint32, shape [characters].
        bits: of each code point, uint16, shape [0x110000].
    Returns:
        int64, shape [FIELDS].
    """
    found = np.zeros(FIELDS, dtype=np.int64)
    ascii_ = syllables = lost = trailing = 0
    # Without a branch and without a table, each character and those behind it by their places (a place that might be
    # negative is looked at one by one): so many are compared at once.
    for at in range(len(codes)):
        code = codes[at]
        ascii_ += code < 128
        lost += code == 0xFFFD
        syllables += (code >= 0xAC00) & (code <= 0xD7A3)
    for at in range(len(codes) - 1):
        trailing += (codes[at + 1] == 10) & ((codes[at] == 32) | (codes[at] == 9))
    every, rare = np.uint16(0), 0
    for at in range(len(codes)):
        bit = bits[codes[at]]
        every |= bit
        rare += bit & RARE != 0
    if every & SUSPECT:
        _suspects(codes, bits, found)
    found[ANY], found[TRAILING], found[LOST], found[ASCII] = every, trailing, lost, ascii_
    found[SYLLABLES], found[RARE_SYLLABLES] = syllables, rare
    return found
