"""The lines of a text, and whether it has the markers of a chat or of subtitles.

These markers are those that `steps/heuristics/genres.py` would remove.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.corpus.scan.bits import DIGIT, SPACE
from kormo_plugins.store.compiled.functions import njit

NONE, SPEAKERS, STAMPED = range(3)


@njit()
def lines(codes: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Start and end of each non-empty line, without surrounding white space; int64, shape [lines, 2]."""
    size, count = len(codes), 1
    for at in range(size):
        count += codes[at] == 10
    found = np.empty((count, 2), dtype=np.int64)
    count = start = 0
    while start < size:
        end = start
        while end < size and codes[end] != 10:
            end += 1
        first, last = start, end
        while first < last and bits[codes[first]] & SPACE:
            first += 1
        while last > first and bits[codes[last - 1]] & SPACE:
            last -= 1
        if first < last:
            found[count, 0], found[count, 1] = first, last
            count += 1
        start = end + 1
    return found[:count]


@njit()
def _speaker(codes: np.ndarray, at: int, size: int, bits: np.ndarray) -> tuple[np.uint64, int]:
    """Hash of the speaker's name, ended by a colon, at the start of the line at `at` (`genres._SPEAKER`), 0 if there is
    none; and the offset of the text after it."""
    end, value = at, np.uint64(0xCBF29CE484222325)
    while end < size and end - at <= 12 and codes[end] != 58 and codes[end] != 0xFF1A and not bits[codes[end]] & SPACE:
        value = (value ^ np.uint64(codes[end])) * np.uint64(0x100000001B3)
        end += 1
    if end == at or end - at > 12:
        return np.uint64(0), at
    if end < size and codes[end] == 32:
        end += 1
    if end >= size or (codes[end] != 58 and codes[end] != 0xFF1A):
        return np.uint64(0), at
    end += 1
    if end < size and codes[end] == 32:
        end += 1
    if end >= size or bits[codes[end]] & SPACE:
        return np.uint64(0), at
    return value | np.uint64(1), end


@njit()
def _has_colon(codes: np.ndarray, start: int, end: int) -> bool:
    for at in range(max(0, start), min(end, len(codes))):  # noqa: SIM110
        if codes[at] == 58:
            return True
    return False


@njit()
def _stamp(codes: np.ndarray, at: int, size: int, bits: np.ndarray) -> bool:
    """Whether the line at `at` may begin with a timestamp; only a few characters are checked."""
    code = codes[at]
    if code == 91:  # [name] [오전 10:12]
        end = at + 1
        while end < size and end - at <= 25 and codes[end] != 93 and codes[end] != 10:
            end += 1
        if end < size and codes[end] == 93:
            end += 1
            if end < size and codes[end] == 32:
                end += 1
            return end < size and codes[end] == 91 and _has_colon(codes, end, end + 12)
        return False
    if code == 45:  # --- 2024년 1월 2일 ---
        end = at
        while end < size and codes[end] == 45:
            end += 1
        if end < size and codes[end] == 32:
            end += 1
        return end - at >= 3 and end < size and bits[codes[end]] & DIGIT != 0
    if code == 87:  # WEBVTT
        return at + 1 < size and codes[at + 1] == 69
    if bits[code] & DIGIT and at + 4 < size and bits[codes[at + 3]] & DIGIT:  # 2024. 1. 2. 오전 10:12, name :
        sign = codes[at + 4]
        if sign == 0xB144 or sign == 46 or sign == 47 or sign == 45:
            end = at
            while end < size and codes[end] != 10:
                end += 1
            return _has_colon(codes, at, end)
    return False


@njit()
def _doubled(names: np.ndarray) -> np.ndarray:
    """The set of hashes with doubled capacity."""
    found = np.zeros(2 * len(names), dtype=np.uint64)
    for name in names:
        if name:
            slot = np.int64(name >> np.uint64(8)) & (len(found) - 1)
            while found[slot]:
                slot = (slot + 1) & (len(found) - 1)
            found[slot] = name
    return found


@njit()
def _marks(codes: np.ndarray, bits: np.ndarray) -> int:
    """The markers at the start of lines: `NONE`, `SPEAKERS`, or possibly others."""
    size, colons, arrows = len(codes), 0, 0
    for at in range(size):  # branch-free, so that the loop is vectorized
        colons += (codes[at] == 58) | (codes[at] == 0xFF1A)
        arrows += (codes[at] == 60) | (codes[at] == 62)
    for at in range(size if arrows else 0):
        code = codes[at]
        if code == 62:
            if at > 1 and codes[at - 1] == 45 and codes[at - 2] == 45:
                return STAMPED
        elif code == 60:
            if at + 2 < size and codes[at + 1] == 118 and codes[at + 2] == 32:
                return STAMPED
            before = at - 1
            if before > 0 and codes[before] == 32:
                before -= 1
            if before > 0 and codes[before] == 93:
                before -= 1
            ends = before > 0 and (bits[codes[before]] & DIGIT != 0 or codes[before] == 77)
            if ends and _has_colon(codes, before - 12, before):
                return STAMPED
    if not colons:
        return NONE
    names, times, distinct, start = np.zeros(16, dtype=np.uint64), 0, 0, 0
    while start < size:
        if _stamp(codes, start, size, bits):
            return STAMPED
        name, _ = _speaker(codes, start, size, bits)
        if name:
            times += 1
            slot = np.int64(name >> np.uint64(8)) & (len(names) - 1)
            while names[slot] and names[slot] != name:
                slot = (slot + 1) & (len(names) - 1)
            if not names[slot]:
                names[slot] = name
                distinct += 1
                if 2 * distinct > len(names):
                    names = _doubled(names)
        while start < size and codes[start] != 10:
            start += 1
        start += 1
    return SPEAKERS if times >= 4 and 2 * distinct <= times else NONE


@njit()
def without_speakers(codes: np.ndarray, bits: np.ndarray) -> tuple[np.ndarray, int]:
    """The text without speaker names (`genres.without_stamps`), if it has no other markers.

    Args:
        codes: code points, uint32, shape [characters].
        bits: of each code point, uint16, shape [0x110000].
    Returns:
        Code points; and `NONE` or `SPEAKERS`, or `STAMPED` if patterns have to look for other markers.
    """
    state, size = _marks(codes, bits), len(codes)
    if state != SPEAKERS:
        return codes, state
    found, count, at = codes.copy(), 0, 0
    while at < size:
        _, at = _speaker(codes, at, size, bits)
        while at < size:
            found[count] = codes[at]
            count, at = count + 1, at + 1
            if found[count - 1] == 10:
                break
    return found[:count], state
