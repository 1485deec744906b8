"""The compiled part of `repetition`: duplicate lines and paragraphs, verse, word ids and their n-grams.

Lines and words with equal hashes are compared, so collisions cannot occur.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.corpus.scan.bits import SPACE, WORD
from kormo_plugins.corpus.steps.heuristics.ngram_kernel import longer, repeated, top
from kormo_plugins.store.compiled.functions import njit

(NOTHING, LINES, CHARACTERS, PARAGRAPHS, TOP, REPEATED) = range(6)
"""Reasons for dropping a document."""
FEWEST_VERSES, LONGEST_VERSE, SHARE_DISTINCT = 8, 40, 0.4
"""As in `steps/heuristics/genres.py`."""


@njit()
def _hash(codes: np.ndarray, start: int, end: int) -> np.uint64:
    value, at = np.uint64(0xCBF29CE484222325), start
    while at + 1 < end:  # two per iteration, because each multiplication waits for the previous one
        pair = np.uint64(codes[at]) | np.uint64(codes[at + 1]) << np.uint64(32)
        value = (value ^ pair ^ (value >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
        at += 2
    if at < end:
        value = (value ^ np.uint64(codes[at])) * np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return value ^ (value >> np.uint64(33))


@njit()
def numbered(codes: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, int]:
    """An id for each range of a text: equal ranges share an id, in order of first occurrence; int64, shape [pieces].
    Also the number of ids.

    Args:
        spans: start and end of each range, int64, shape [pieces, 2].
    """
    size = 16
    while size < 2 * len(spans):
        size *= 2
    table = np.full(size, -1, dtype=np.int64)
    hashes = np.empty(len(spans), dtype=np.uint64)
    numbers = np.empty(len(spans), dtype=np.int64)
    count = 0
    for i in range(len(spans)):
        start, length = spans[i, 0], spans[i, 1] - spans[i, 0]
        hashes[i] = _hash(codes, start, spans[i, 1])
        slot = np.int64(hashes[i] & np.uint64(size - 1))
        while table[slot] >= 0:
            other = table[slot]
            if hashes[other] == hashes[i] and spans[other, 1] - spans[other, 0] == length:
                same, begin = True, spans[other, 0]
                for k in range(length):
                    if codes[begin + k] != codes[start + k]:
                        same = False
                        break
                if same:
                    break
            slot = (slot + 1) & (size - 1)
        if table[slot] < 0:
            table[slot] = i
            numbers[i] = count
            count += 1
        else:
            numbers[i] = numbers[table[slot]]
    return numbers, count


@njit()
def word_spans(codes: np.ndarray, bits: np.ndarray, lines: np.ndarray, numbers: np.ndarray, once: bool) -> np.ndarray:
    """Start and end of each word; with `once`, repeated lines count only the first time; int64, [words, 2]."""
    found = np.empty((len(codes) // 2 + 1, 2), dtype=np.int64)
    count, seen = 0, 0
    for line in range(len(lines)):
        if once and numbers[line] < seen:
            continue
        seen = max(seen, numbers[line] + 1)
        at, end = lines[line, 0], lines[line, 1]
        while at < end:
            if bits[codes[at]] & WORD:
                found[count, 0] = at
                while at < end and bits[codes[at]] & WORD:
                    at += 1
                found[count, 1] = at
                count += 1
            else:
                at += 1
    return found[:count]


@njit()
def _paragraphs(codes: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Start and end of each non-blank paragraph between empty lines; int64, shape [paragraphs, 2]."""
    found = np.empty((len(codes) // 3 + 1, 2), dtype=np.int64)
    count = start = 0
    size = len(codes)
    while start <= size:
        end, blank = start, True
        while end < size and not (codes[end] == 10 and end + 1 < size and codes[end + 1] == 10):
            blank &= bits[codes[end]] & SPACE != 0
            end += 1
        if not blank:
            found[count, 0], found[count, 1] = start, end
            count += 1
        start = end + 2
    return found[:count]


@njit()
def _is_verse(lines: np.ndarray, numbers: np.ndarray, distinct: int, total: int) -> bool:
    if len(lines) < FEWEST_VERSES or total > LONGEST_VERSE * len(lines) or distinct < SHARE_DISTINCT * len(lines):
        return False
    for i in range(len(lines)):
        if lines[i, 1] - lines[i, 0] > 4 * LONGEST_VERSE:
            return False
        if i > 1 and numbers[i] == numbers[i - 1] == numbers[i - 2]:
            return False
    return True


@njit()
def _n_grams_repeat(
    words: np.ndarray,
    names: np.ndarray,
    distinct: int,
    sizes: np.ndarray,
    limits: np.ndarray,
    single: np.ndarray,
    strictest: float,
) -> tuple[int, int]:
    """Which n-gram limit a text exceeds, if any, and its n; other arguments as for `judge`."""
    ids = np.empty(len(words), dtype=np.uint64)
    starts = np.zeros(len(words) + 1, dtype=np.int64)
    characters = np.zeros(distinct, dtype=np.int64)
    grams, size, most = np.empty(len(words), dtype=np.uint64), 1, 0
    for i in range(len(words)):
        length = words[i, 1] - words[i, 0]
        starts[i + 1] = starts[i] + length
        characters[names[i]] += length
        most = max(most, characters[names[i]])
        ids[i] = np.uint64(names[i])
        grams[i] = ids[i] + np.uint64(1)
    for k in range(len(sizes)):
        n, allowed = sizes[k], limits[k] * starts[-1]
        while size < n:
            grams, size = longer(grams, ids, size), size + 1
        if len(grams) < 2:
            break
        if single[k]:
            # An n-gram covers at most n times what its most frequent word covers.
            if n * most > allowed and top(grams, starts, n) > allowed:
                return TOP, n
        else:
            share = repeated(grams, starts, n)
            if share > allowed:
                return REPEATED, n
            if share <= strictest * starts[-1]:
                break  # what a longer n-gram covers, the shorter ones cover too
    return NOTHING, 0


@njit()
def judge(
    codes: np.ndarray,
    bits: np.ndarray,
    lines: np.ndarray,
    bounds: tuple[float, float, float, float, float],
    fewest: int,
    sizes: np.ndarray,
    limits: np.ndarray,
    single: np.ndarray,
) -> tuple[int, int]:
    """The reason why a repetitive text is dropped, and n for n-grams.

    Args:
        codes: code points, uint32, shape [characters].
        bits: of each code point, uint16, shape [0x110000].
        lines: the non-empty lines (`lines_kernel.lines`).
        bounds: maximum shares of duplicate lines, of characters in them and of duplicate paragraphs; the same for
            verse, 0 if there is none; the strictest of the n-gram limits.
        fewest: minimum number of words for counting n-grams.
        sizes, limits, single: n, maximum share, and whether the limit is for a single n-gram; sorted by these.
    """
    most_lines, most_characters, most_paragraphs, verse, strictest = bounds
    numbers, distinct = numbered(codes, lines)
    total = first = seen = 0
    for i in range(len(lines)):
        length = lines[i, 1] - lines[i, 0]
        total += length
        if numbers[i] >= seen:
            first, seen = first + length, numbers[i] + 1
    is_verse = verse > 0 and _is_verse(lines, numbers, distinct, total)
    allowed = verse if is_verse else 0.0
    if len(lines) >= 4:
        if distinct < (1 - max(most_lines, allowed)) * len(lines):
            return LINES, 0
        if first < (1 - max(most_characters, allowed)) * total:
            return CHARACTERS, 0
        pieces = _paragraphs(codes, bits)
        if len(pieces) > 3 and numbered(codes, pieces)[1] < (1 - max(most_paragraphs, allowed)) * len(pieces):
            return PARAGRAPHS, 0
    words = word_spans(codes, bits, lines, numbers, is_verse)
    if len(words) < fewest:
        return NOTHING, 0
    names, distinct = numbered(codes, words)
    if distinct > 0.95 * len(words):  # almost no word is repeated, so no n-gram can be
        return NOTHING, 0
    return _n_grams_repeat(words, names, distinct, sizes, limits, single, strictest)
