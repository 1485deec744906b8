"""Scans UTF-8 bytes at a position: a code point, a run of letters, or non-prose."""

from __future__ import annotations

import numpy as np

from kormo_plugins.store.compiled.functions import njit


@njit()
def decode(data: np.ndarray, i: int) -> tuple[int, int]:
    """Code point at `i`, and its length in bytes."""
    byte = np.int64(data[i])
    if byte < 0x80:
        return byte, 1  # type: ignore[return-value]
    if byte < 0xE0 and i + 1 < len(data):
        return (byte & 0x1F) << 6 | (np.int64(data[i + 1]) & 0x3F), 2  # type: ignore[return-value]
    if byte < 0xF0 and i + 2 < len(data):
        code = (byte & 0x0F) << 12 | (np.int64(data[i + 1]) & 0x3F) << 6 | (np.int64(data[i + 2]) & 0x3F)
        return code, 3  # type: ignore[return-value]
    return 0, 4


@njit()
def after(data: np.ndarray, i: int) -> int:
    """The end of non-prose at `i` (inline code, a tag, an address); `i` itself if there is none.

    Each search is bounded, or ends where the next would begin, so the total time is linear.
    """
    size = len(data)
    byte = data[i]
    if byte == 0x60:  # `code` on one line without Hangul
        for j in range(i + 1, size):
            if data[j] == 0x60:
                return j + 1
            if data[j] == 0x0A or 0xEA <= data[j] <= 0xED:
                return i
        return i
    if byte == 0x3C:  # <tag>
        j = i + 2 if i + 1 < size and data[i + 1] == 0x2F else i + 1
        if j < size and 0x41 <= data[j] & 0xDF <= 0x5A:
            for k in range(j + 1, min(size, j + 402)):
                if data[k] == 0x3E:
                    return k + 1
                if data[k] == 0x3C or data[k] == 0x0A:
                    return i
        return i
    if byte == 0x68:  # http://…
        if (
            i + 7 < size
            and data[i + 1] == 0x74
            and data[i + 2] == 0x74
            and data[i + 3] == 0x70
            and (data[i + 4] == 0x3A or (data[i + 4] == 0x73 and data[i + 5] == 0x3A))
        ):
            j = i
            while j < size and data[j] > 0x20:
                j += 1
            return j
        return i
    if byte == 0x5D and i + 1 < size and data[i + 1] == 0x28:  # ](address)
        for j in range(i + 2, size):
            if data[j] == 0x29:
                return j + 1
            if data[j] <= 0x20 or data[j] == 0x5D:
                return i
    return i


@njit()
def fence_at(data: np.ndarray, i: int) -> int:
    """Length of a run of three or more backticks or tildes at `i`, the start of a line; 0 if there is none."""
    indent = 0
    while indent < 3 and i < len(data) and data[i] == 0x20:
        i, indent = i + 1, indent + 1
    if i >= len(data) or (data[i] != 0x60 and data[i] != 0x7E):
        return 0
    run = 1
    while i + run < len(data) and data[i + run] == data[i]:
        run += 1
    return (run if data[i] == 0x60 else run + (1 << 20)) if run >= 3 else 0


@njit()
def syllables_at(data: np.ndarray, i: int) -> int:
    """Number of consecutive Hangul syllables from `i` on."""
    first, last = i, len(data) - 2
    while i < last and 0xEA <= data[i] <= 0xED:
        code = (np.int64(data[i]) & 0x0F) << 12 | (np.int64(data[i + 1]) & 0x3F) << 6 | (np.int64(data[i + 2]) & 0x3F)
        if not 0xAC00 <= code <= 0xD7A3:
            break
        i += 3
    return (i - first) // 3


@njit()
def letters_at(data: np.ndarray, i: int) -> int:
    """Number of consecutive ASCII letters from `i` on, up to an `h`, with which an address may begin."""
    first = i
    while i < len(data) and 0x61 <= data[i] | 0x20 <= 0x7A and data[i] != 0x68:
        i += 1
    return i - first
