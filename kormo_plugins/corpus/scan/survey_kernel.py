"""One look at every character of a text: what `normalize` and `mojibake` count, and what later steps can pass over."""

from __future__ import annotations

import numpy as np

from kormo_plugins.corpus.scan.bits import HANGUL, RARE, SUSPECT
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
def survey(codes: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """What the characters of a text are.

    Args:
        codes: uint32, shape [characters].
        bits: of each code point, uint16, shape [0x110000].
    Returns:
        int64, shape [FIELDS].
    """
    found = np.zeros(FIELDS, dtype=np.int64)
    every = np.uint16(0)
    newlines, run, latin, before = 0, 0, False, np.uint32(0)
    ascii_, syllables, rare, code_signs, colons, markup = 0, 0, 0, 0, 0, 0
    for code in codes:
        bit = bits[code]
        every |= bit
        if code < 128:
            ascii_ += 1
            if code == 10:
                newlines += 1
                if newlines > found[NEWLINES]:
                    found[NEWLINES] = newlines
                if before == 32 or before == 9:
                    found[TRAILING] += 1
            else:
                newlines = 0
                if code == 60 or code == 38:
                    markup += 1
                elif code == 96 or code == 126:
                    code_signs += 1
                elif code == 58:
                    colons += 1
        else:
            newlines = 0
            if bit & HANGUL:
                syllables += 1
                if bit & RARE:
                    rare += 1
            elif code == 0xFFFD:
                found[LOST] += 1
            elif code == 0xFF1A:
                colons += 1
        if bit & SUSPECT:
            run += 1
            latin |= code < 256
        elif run:
            found[SUSPECT_RUN] = max(found[SUSPECT_RUN], run)
            if run > 2 and latin:
                found[MOJIBAKE] += run
            run, latin = 0, False
        before = code
    found[SUSPECT_RUN] = max(found[SUSPECT_RUN], run)
    if run > 2 and latin:
        found[MOJIBAKE] += run
    found[ANY], found[ASCII], found[SYLLABLES], found[RARE_SYLLABLES] = every, ascii_, syllables, rare
    found[MARKUP], found[CODE], found[COLONS] = markup, code_signs, colons
    return found
