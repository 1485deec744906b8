"""Finds where a text may contain markup that `steps/web/html.py` would remove, so that its patterns run only there.

Searches outside code for an entity; for `<!`, `<?` and `]]>`; and for `<` or `</` followed by the name of an HTML
element (or a name with `:` or `-`) and a character that may follow it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kormo_plugins.corpus.scan.kernels.prose_kernel import fence_end
from kormo_plugins.store.compiled.functions import njit

SLOTS = 1 << 14


def names_table(names: Iterable[str], raw: Iterable[str]) -> np.ndarray:
    """Table of hashes of lower-case names: 1 for an element, 2 for a `raw` one, whose content is no text and whose name
    may be followed by any character; int8, shape [SLOTS]."""
    table = np.zeros(SLOTS, dtype=np.int8)
    for mark, some in ((1, names), (2, raw)):
        for name in some:
            value = 0
            for char in name:
                value = (value * 31 + ord(char)) % SLOTS
            table[value] = mark
    return table


@njit()
def _ticks_end(codes: np.ndarray, start: int, size: int) -> int:
    """End of the inline code (equal numbers of backticks) that begins at `start`; `start` if there is none."""
    at = start
    while at < size and codes[at] == 96:
        at += 1
    length = at - start
    while at < size and codes[at] != 10:
        if codes[at] != 96:
            at += 1
            continue
        run = at
        while at < size and codes[at] == 96:
            at += 1
        if at - run == length:
            return at
    return start


@njit()
def _alphanumeric(code: int) -> bool:
    return 48 <= code <= 57 or 65 <= code <= 90 or 97 <= code <= 122


@njit()
def _is_entity(codes: np.ndarray, at: int, size: int) -> bool:
    end = at + 1
    if end < size and codes[end] == 35:
        end += 1
    begin = end
    while end < size and end - begin <= 32 and _alphanumeric(codes[end]):
        end += 1
    return end > begin and end < size and codes[end] == 59


@njit()
def _is_tag(codes: np.ndarray, at: int, size: int, names: np.ndarray) -> bool:
    end = at + 1
    if end < size and (codes[end] == 33 or codes[end] == 63):
        return True
    if end < size and codes[end] == 47:
        end += 1
    begin, value = end, 0
    while end < size and end - begin <= 21 and _alphanumeric(codes[end]):
        code = int(codes[end])
        value = (value * 31 + (code + 32 if 65 <= code <= 90 else code)) % 16384
        end += 1
    if end == begin or end == size or codes[begin] < 65:  # noqa: SIM109
        return False
    code = codes[end]
    if code == 58 or code == 45:
        return True
    follows = code == 32 or 9 <= code <= 13 or code == 62 or code == 47 or code == 0x3000 or code == 0xA0
    return bool(names[value] == 2 or (follows and names[value] == 1))


@njit()
def markup(codes: np.ndarray, names: np.ndarray) -> np.ndarray:
    """The ranges of text between code (fences, backticks) that may contain markup.

    Args:
        codes: code points, uint32, shape [characters].
        names: of elements (result of `names_table`).
    Returns:
        start and end of each, int64, shape [pieces, 2].
    """
    size, at, start, count, line_start, held = len(codes), 0, 0, 0, True, False
    found = np.empty((size // 2 + 1, 2), dtype=np.int64)  # mostly untouched pages
    while True:
        end, code = at, np.uint32(0)
        if at < size:
            code = codes[at]
            if line_start and (code == 32 or code == 96 or code == 126):
                end = max(at, fence_end(codes, at, size))
            if end == at and code == 96:
                end = _ticks_end(codes, at, size)
        if at == size or end > at:  # the current range ends here
            if held:
                found[count, 0], found[count, 1] = start, at
                count += 1
            if at == size:
                return found[:count]
            at, start, line_start, held = end, end, False, False
            continue
        line_start = code == 10
        if code == 96:
            while at < size and codes[at] == 96:
                at += 1
            continue
        if not held:
            if code == 38:
                held = _is_entity(codes, at, size)
            elif code == 60:
                held = _is_tag(codes, at, size, names)
            elif code == 93:
                held = at + 2 < size and codes[at + 1] == 93 and codes[at + 2] == 62
        at += 1
