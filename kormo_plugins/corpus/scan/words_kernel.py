"""The words of a text with one space between them, as UTF-8: what `exact_dedup` compares."""

from __future__ import annotations

import numpy as np

from kormo_plugins.corpus.scan.bits import SPACE
from kormo_plugins.store.compiled import njit


@njit()
def one_spaced(codes: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """The bytes of `" ".join(text.split())`.

    Args:
        codes: code points without lone surrogates, uint32, shape [characters].
        bits: of each code point, uint16, shape [0x110000].
    Returns:
        uint8, shape [bytes].
    """
    found = np.empty(4 * len(codes), dtype=np.uint8)
    count, waiting = 0, False
    for code in codes:
        if bits[code] & SPACE:
            waiting = count > 0
            continue
        if waiting:
            found[count] = 32
            count, waiting = count + 1, False
        if code < 0x80:
            found[count] = code
            count += 1
        elif code < 0x800:
            found[count] = 0xC0 | code >> 6
            found[count + 1] = 0x80 | code & 0x3F
            count += 2
        elif code < 0x10000:
            found[count] = 0xE0 | code >> 12
            found[count + 1] = 0x80 | code >> 6 & 0x3F
            found[count + 2] = 0x80 | code & 0x3F
            count += 3
        else:
            found[count] = 0xF0 | code >> 18
            found[count + 1] = 0x80 | code >> 12 & 0x3F
            found[count + 2] = 0x80 | code >> 6 & 0x3F
            found[count + 3] = 0x80 | code & 0x3F
            count += 4
    return found[:count]
