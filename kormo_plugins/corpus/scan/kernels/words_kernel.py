"""The words of a text separated by single spaces, as UTF-8: the form that `exact_dedup` compares."""

from __future__ import annotations

import numpy as np

from kormo_plugins.store.compiled.functions import njit


@njit()
def _space(data: np.ndarray, at: int) -> int:
    """Bytes of the non-ASCII white space (`str.isspace`) at that position; 0 if there is none."""
    first, size = data[at], len(data)
    if first == 0xC2:
        return 2 if at + 1 < size and (data[at + 1] == 0x85 or data[at + 1] == 0xA0) else 0
    if at + 2 >= size:
        return 0
    second, third = data[at + 1], data[at + 2]
    if first == 0xE3:  # U+3000
        return 3 if second == 0x80 and third == 0x80 else 0
    if first == 0xE2 and second == 0x80:  # U+2000 to U+200A, U+2028, U+2029, U+202F
        return 3 if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
    if first == 0xE2:  # U+205F
        return 3 if second == 0x81 and third == 0x9F else 0
    return 3 if first == 0xE1 and second == 0x9A and third == 0x80 else 0  # U+1680


@njit()
def one_spaced(data: np.ndarray) -> np.ndarray:
    """The bytes of `" ".join(text.split())`.

    Args:
        data: the text in UTF-8, uint8, shape [bytes].
    Returns:
        uint8, shape [bytes].
    """
    size = len(data)
    found = np.empty(size, dtype=np.uint8)
    count = at = 0
    waiting = False
    while at < size:
        byte, length = data[at], 0
        if byte <= 0x20:
            length = 1 if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31 else 0
        elif byte == 0xC2 or (byte >= 0xE1 and byte <= 0xE3):
            length = _space(data, at)
        if length:
            waiting = count > 0
            at += length
            continue
        if waiting:
            found[count] = 32
            count, waiting = count + 1, False
        found[count] = byte
        count, at = count + 1, at + 1
        while at < size and data[at] > 0x20 and data[at] != 0xC2 and not 0xE1 <= data[at] <= 0xE3:
            found[count] = data[at]
            count, at = count + 1, at + 1
    return found[:count]
