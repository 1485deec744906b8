"""The compiled part of `prose` in `steps/heuristics/text.py`: finds code fences, inline code, tags and links.

Each function implements one pattern of that module, in place on code points: the output is never longer than the input.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.corpus.scan.bits import SPACE
from kormo_plugins.store.compiled.functions import njit


@njit()
def _line_end(codes: np.ndarray, at: int, size: int) -> int:
    while at < size and codes[at] != 10:
        at += 1
    return at


@njit()
def fence_end(codes: np.ndarray, start: int, size: int) -> int:
    """End of the fenced block that begins with the line at `start`; -1 if none begins there (`text.FENCE`)."""
    at = start
    while at < size and at - start < 3 and codes[at] == 32:
        at += 1
    if at >= size or (codes[at] != 96 and codes[at] != 126):
        return -1
    sign, first = codes[at], at
    while at < size and codes[at] == sign:
        at += 1
    length = at - first
    if length < 3:
        return -1
    at = _line_end(codes, at, size)
    if at == size:
        return -1
    while at < size:
        line = at + 1
        at = line
        while at < size and at - line < 3 and codes[at] == 32:
            at += 1
        run = 0
        while at < size and run < length and codes[at] == sign:
            at, run = at + 1, run + 1
        at = _line_end(codes, at, size)
        if run == length:
            return at
    return size


@njit()
def _fences(text: np.ndarray, codes: np.ndarray) -> int:
    """Copies `text` to `codes`, replacing each block by a line end unless a fifth of it is Hangul."""
    out = at = 0
    size = len(text)
    while at < size:
        end = fence_end(text, at, size)
        if end < 0:
            end = at
            while end < size and text[end] != 10:
                end += 1
            end = min(end + 1, size)
            for k in range(at, end):
                codes[out] = text[k]
                out += 1
        else:
            hangul = 0
            for k in range(at, end):
                hangul += 0xAC00 <= text[k] <= 0xD7A3
            if hangul * 5 > end - at:
                for k in range(at, end):
                    codes[out] = text[k]
                    out += 1
            else:
                codes[out] = 10
                out += 1
            if end < size:  # the line end after the block is text
                codes[out] = text[end]
                out += 1
            end += 1
        at = end
    return out


@njit()
def _inline(codes: np.ndarray, size: int) -> int:
    """Replaces inline code without Hangul, on one line, by a space."""
    out = at = 0
    while at < size:
        code = codes[at]
        if code == 96:
            end = at + 1
            while end < size and codes[end] != 96 and codes[end] != 10 and not 0xAC00 <= codes[end] <= 0xD7A3:
                end += 1
            if end < size and codes[end] == 96 and end > at + 1:
                code, at = np.uint32(32), end
        codes[out] = code
        out, at = out + 1, at + 1
    return out


@njit()
def _letter(code: int) -> bool:
    return 65 <= code <= 90 or 97 <= code <= 122


@njit()
def _tags(codes: np.ndarray, size: int) -> int:
    """Replaces what looks like a tag by a space."""
    out = at = 0
    while at < size:
        code = codes[at]
        if code == 60:
            begin = at + 1
            if begin < size and codes[begin] == 47:
                begin += 1
            if begin < size and _letter(codes[begin]):
                end = begin + 1
                while end < size and end - begin <= 401 and codes[end] != 60 and codes[end] != 62 and codes[end] != 10:
                    end += 1
                if end < size and codes[end] == 62 and end - begin <= 401:
                    code, at = np.uint32(32), end
        codes[out] = code
        out, at = out + 1, at + 1
    return out


@njit()
def _is_http(codes: np.ndarray, at: int, size: int) -> int:
    """Length of `http://` or `https://` at that position; 0 if there is none."""
    if at + 7 > size or codes[at + 1] != 116 or codes[at + 2] != 116 or codes[at + 3] != 112:
        return 0
    k = at + 4
    if codes[k] == 115:
        k += 1
    if k + 3 <= size and codes[k] == 58 and codes[k + 1] == 47 and codes[k + 2] == 47:
        return k + 3 - at
    return 0


@njit()
def _links(codes: np.ndarray, size: int, bits: np.ndarray) -> int:
    """Replaces addresses and link targets by a space."""
    out = at = 0
    while at < size:
        code = codes[at]
        if code == 104:
            length = _is_http(codes, at, size)
            end = at + length
            if length and end < size and not bits[codes[end]] & SPACE:
                while end < size and not bits[codes[end]] & SPACE:
                    end += 1
                code, at = np.uint32(32), end - 1
        elif code == 93 and at + 1 < size and codes[at + 1] == 40:
            end = at + 2
            while end < size and codes[end] != 41 and codes[end] != 93 and not bits[codes[end]] & SPACE:
                end += 1
            if end < size and codes[end] == 41:
                code, at = np.uint32(32), end
        codes[out] = code
        out, at = out + 1, at + 1
    return out


@njit()
def _signs(text: np.ndarray) -> tuple[bool, bool, bool, bool]:
    """Whether there may be fences, inline code, tags, and addresses."""
    ticks = tags = fences = links = 0
    for at in range(len(text)):  # branch-free, so that the loop is vectorized
        ticks += text[at] == 96
        tags += text[at] == 60
    for at in range(len(text) - 2):  # non-negative indices, for the same reason
        second, before, code = text[at], text[at + 1], text[at + 2]
        fences += ((code == 96) | (code == 126)) & (code == before) & (code == second)
        links += ((code == 112) & (before == 116) & (second == 116)) | ((code == 40) & (before == 93))
    links += len(text) > 1 and text[0] == 93 and text[1] == 40
    return fences > 0, ticks > 0, tags > 0, links > 0


@njit()
def prose(text: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """The text without code blocks, inline code, tags and addresses; `text` itself if it has none.

    Args:
        text: code points, uint32, shape [characters].
        bits: of each code point, uint16, shape [0x110000].
    """
    fences, ticks, tags, links = _signs(text)
    if not (fences or ticks or tags or links):
        return text
    codes, size = text.copy(), len(text)
    if fences:
        size = _fences(text, codes)
    if ticks:
        size = _inline(codes, size)
    if tags:
        size = _tags(codes, size)
    if links:
        size = _links(codes, size, bits)
    return codes[:size]
