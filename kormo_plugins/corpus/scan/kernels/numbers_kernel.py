"""Finds where personal data may be: sufficiently long digit runs, and characters that the patterns look for."""

from __future__ import annotations

import numpy as np

from kormo_plugins.corpus.scan.bits import HANGUL, PERSONAL, SEPARATOR, SPACE, WIDE
from kormo_plugins.corpus.scan.personal_flags import EMAIL, IPV4, IPV6, LETTERS, LICENCE, PASSPORT, SPOKEN
from kormo_plugins.store.compiled.functions import njit

PASSPORT_WORD = tuple(map(ord, "passport"))
FEWEST_DIGITS, MOST_BETWEEN = 7, 3


@njit()
def _digit(code: int) -> bool:
    return 48 <= code <= 57 or 0xFF10 <= code <= 0xFF19


@njit()
def _hex(code: int) -> bool:
    return 48 <= code <= 57 or 65 <= code <= 70 or 97 <= code <= 102


@njit()
def _ascii_word(code: int) -> bool:
    return 48 <= code <= 57 or 65 <= code <= 90 or 97 <= code <= 122 or code == 95


@njit()
def _opens(codes: np.ndarray, at: int, bits: np.ndarray) -> bool:
    """Whether a bracket opens at that position, or before a space there."""
    if at >= 1 and bits[codes[at]] & SPACE:
        at -= 1
    return at >= 0 and (codes[at] == 40 or codes[at] == 91 or codes[at] == 123)


@njit()
def _closes(codes: np.ndarray, at: int, bits: np.ndarray) -> bool:
    """Whether a bracket closes at that position, or after a space there."""
    if at < len(codes) and bits[codes[at]] & SPACE:
        at += 1
    return at < len(codes) and (codes[at] == 41 or codes[at] == 93 or codes[at] == 125)


@njit()
def _at_sign(codes: np.ndarray, at: int, bits: np.ndarray) -> bool:
    """Whether the `@` there may belong to an e-mail address."""
    size = len(codes)
    if at == 0:
        return False
    if _opens(codes, at - 1, bits):
        return True
    code = codes[at - 1]
    local = _ascii_word(code) or code == 46 or code == 43 or code == 37 or code == 45 or bits[code] & HANGUL
    if not local:
        return False
    end, dot = at + 1, False
    while end < size and (_ascii_word(codes[end]) or codes[end] == 45 or bits[codes[end]] & HANGUL):
        dot |= codes[end] == 0xB2F7
        end += 1
    if dot or end == at + 1 or end == size:
        return dot
    if bits[codes[end]] & SPACE and end + 1 < size:
        end += 1
        return bool(codes[end] == 40 or codes[end] == 91 or codes[end] == 123 or codes[end] == 0xB2F7)
    return bool(codes[end] == 46 or codes[end] == 40 or codes[end] == 91 or codes[end] == 123)


@njit()
def _says(codes: np.ndarray, at: int, word: tuple[int, ...]) -> bool:
    """Whether these (lower-case) characters are at that position, ignoring case."""
    if at + len(word) > len(codes):
        return False
    for k in range(len(word)):
        code = int(codes[at + k])
        if 65 <= code <= 90:
            code += 32
        elif code == 0x17F:  # a case-insensitive pattern treats `ſ` as `s`
            code = 115
        if code != word[k]:
            return False
    return True


@njit()
def personal(codes: np.ndarray, bits: np.ndarray, passport: tuple[int, ...]) -> tuple[np.ndarray, int, np.ndarray]:
    """Digit runs, flags, and positions of e-mail characters.

    Args:
        codes: code points, uint32, shape [characters].
        bits: of each code point, uint16, shape [0x110000].
        passport: the code points of `passport`.
    Returns:
        Start and end of each run of at least `FEWEST_DIGITS` digits with at most `MOST_BETWEEN` separators between two
        of them, including a preceding sign or bracket, int64, shape [runs, 2]; the flags; and the positions of `@`, or
        of its substitutes, that may belong to an address, int64.
    """
    # Deliberately one loop: with separate functions for digit runs and signs it takes 1.4 times as long.
    size, flags, count = len(codes), 0, 0
    # Allocated at maximum size, mostly untouched pages: replacing an array in the loop would cost a reference count at
    # each character.
    found, places, place_count = (
        np.empty((size // FEWEST_DIGITS + 1, 2), dtype=np.int64),
        np.empty(size, dtype=np.int64),
        0,
    )
    at, octets, octets_end = 0, 0, -2
    while at < size:
        code = codes[at]
        if not bits[code] & PERSONAL:
            at += 1
            continue
        if _digit(code):
            start, last, digits = at, at, 0
            while at < size:
                if _digit(codes[at]):
                    if 48 <= codes[at] <= 57:
                        begin = at
                        while at < size and 48 <= codes[at] <= 57:
                            at += 1
                        length = at - begin
                        digits += length
                        joined = begin > 0 and codes[begin - 1] == 46 and octets_end == begin - 1
                        octets = (octets + 1 if joined else 1) if length <= 3 else 0
                        octets_end = at
                        if octets >= 4:
                            flags |= IPV4
                    else:
                        digits += 1
                        at += 1
                    last = at - 1
                elif bits[codes[at]] & SEPARATOR and at - last <= MOST_BETWEEN:
                    at += 1
                else:
                    break
            at = last + 1
            if digits >= FEWEST_DIGITS:
                if (start and codes[start - 1] == 43) or (start and codes[start - 1] == 0xFF0B):
                    start -= 1
                if start and (codes[start - 1] == 40 or codes[start - 1] == 0xFF08):
                    start -= 1
                found[count, 0], found[count, 1] = start, last + 1
                count += 1
            one = start > 0 and at == start + 1 and at < size and (codes[start] == 49 or codes[start] == 0xFF11)
            if one and codes[start - 1] == codes[at] and (codes[at] == 79 or codes[at] == 111):
                flags |= LETTERS
            continue
        is_place = False
        if code < 128:
            if code == 64:
                is_place = _at_sign(codes, at, bits)
            elif code == 116 or code == 84:
                before = at > 1 and (codes[at - 1] == 97 or codes[at - 1] == 65) and _opens(codes, at - 2, bits)
                is_place = before and _closes(codes, at + 1, bits)
            elif code == 58:
                if (
                    at > 3
                    and 50 <= codes[at - 4] <= 51
                    and _hex(codes[at - 3])
                    and _hex(codes[at - 2])
                    and _hex(codes[at - 1])
                ):
                    end = at + 1
                    while end < size and end - at <= 4 and _hex(codes[end]):
                        end += 1
                    if end < size and codes[end] == 58:
                        flags |= IPV6
            elif (code == 112 or code == 80) and not flags & PASSPORT and _says(codes, at, passport):
                flags |= PASSPORT
        elif code >= 0xAC00:
            following = codes[at + 1] if at + 1 < size else np.uint32(0)
            if code == 0xC77C:  # 일공, 일영
                if following == 0xACF5 or following == 0xC601:
                    flags |= SPOKEN
            elif code == 0xC5EC:  # 여권
                if following == 0xAD8C:
                    flags |= PASSPORT
            elif code == 0xBA74:  # 면허
                if following == 0xD5C8:
                    flags |= LICENCE
            elif code == 0xC6B4:  # 운전
                if following == 0xC804:
                    flags |= LICENCE
            elif code == 0xACE8:  # 골뱅이
                is_place = following == 0xBC45
            elif code == 0xFF20:
                is_place = True
        if is_place:
            flags |= EMAIL
            places[place_count] = at
            place_count += 1
        at += 1
    return found[:count], flags, places[:place_count]


@njit()
def rewritten(codes: np.ndarray, bits: np.ndarray, wide: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Replaces every character of `wide` (sorted) by the one of `plain` at the same index; arrays of code points."""
    found = codes.copy()
    for at in range(len(codes)):
        if bits[codes[at]] & WIDE:
            place = np.searchsorted(wide, codes[at])
            if place < len(wide) and wide[place] == codes[at]:
                found[at] = plain[place]
    return found
