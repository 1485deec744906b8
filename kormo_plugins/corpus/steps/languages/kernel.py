"""The compiled part of the step `language`: one pass over a text's bytes that counts scripts and scores words.

The features of a word in Latin or Cyrillic letters are the word and its n-grams of two to four letters with marked word
boundaries, as in Cavnar and Trenkle (1994, N-gram-based text categorization), hashed to rows of a weight table
(`train.py`). The rows of all words are summed. Code, tags and addresses are skipped by the rules of `text.prose`,
without copying the text.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.corpus.steps.languages.bytes_kernel import after, decode, fence_at, letters_at, syllables_at
from kormo_plugins.store.compiled.functions import njit

BUCKET_BITS = 14
"""Rows of the weight table, as a power of two."""
LANES = 32
"""Languages per row."""
UNIT = 24
"""Fixed-point value of a weight of 1.0 (a logit)."""
LETTERS = 2000
"""Maximum number of Latin or Cyrillic letters that are scored; later ones are only counted."""
LONGEST = 24
"""Maximum number of letters per word that are used."""
LATIN, HANGUL, KANA, HAN, CYRILLIC, NONE = 0, 1, 2, 3, 4, 255
"""Script indices of the counts (`letters.py` has the others)."""
SIMPLIFIED, TRADITIONAL, JAPANESE = 29, 30, 31
"""Count indices of Han characters that are specific to one variant."""
COUNTS = 32
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_PENDING = 512
_SHIFT = np.uint64(64 - BUCKET_BITS)


@njit()
def _row(code: np.uint64) -> int:
    return np.int64((code * _MULTIPLIER) >> _SHIFT)  # type: ignore[return-value]


@njit()
def rows_of(word: np.ndarray, length: int, out: np.ndarray, count: int) -> int:
    """Writes the rows of a word's features to `out` from index `count` on (at most 3 `LONGEST` + 4); returns the index
    after them.

    Args:
        word: lower-case code points from index 1 on; uint64, shape [LONGEST + 2].
        length: number of letters.
        out: int64.
    """
    word[0] = word[length + 1] = np.uint64(1)  # word boundaries
    whole = np.uint64(7)
    for i in range(1, length + 1):
        whole = (whole ^ word[i]) * _MULTIPLIER
    out[count] = _row(whole ^ (whole >> np.uint64(31)))
    count += 1
    two = word[0] * np.uint64(65599) + word[1]
    for i in range(length):
        three = (two * np.uint64(65599) + word[i + 2]) ^ np.uint64(3 << 40)
        out[count] = _row(three)
        count += 1
        if i + 3 <= length + 1:
            four = ((two * np.uint64(65599) + word[i + 2]) * np.uint64(65599) + word[i + 3]) ^ np.uint64(5 << 40)
            out[count] = _row(four)
            count += 1
        if word[i + 1] > 127:
            out[count] = _row(word[i + 1] ^ np.uint64(9 << 40))
            count += 1
        two = word[i + 1] * np.uint64(65599) + word[i + 2]
    return count


@njit()
def add(found: np.ndarray, count: int, weights: np.ndarray, sums: np.ndarray) -> None:
    """Adds rows of the table to `sums`.

    Each 64-bit word packs four 16-bit lanes, each a weight plus 128, so that eight additions do the work of 32; lanes
    are flushed before they can overflow.

    Args:
        found: row indices; int64; only the first `count` are used.
        weights: uint64, shape [2**BUCKET_BITS, LANES / 4] (`packed`).
        sums: int64, shape [LANES].
    """
    done = 0
    while done < count:
        end = min(count, done + 256)
        size = end - done
        a = b = c = d = e = f = g = h = np.uint64(0)
        while done < end:
            row = np.uint64(found[done])
            a += weights[row, 0]
            b += weights[row, 1]
            c += weights[row, 2]
            d += weights[row, 3]
            e += weights[row, 4]
            f += weights[row, 5]
            g += weights[row, 6]
            h += weights[row, 7]
            done += 1
        packs = (a, b, c, d, e, f, g, h)
        for pack in range(LANES // 4):
            for lane in range(4):
                value = (packs[pack] >> np.uint64(16 * lane)) & np.uint64(0xFFFF)
                sums[4 * pack + lane] += np.int64(value) - 128 * size


def packed(weights: np.ndarray) -> np.ndarray:
    """Packs weights (int8, shape [2**BUCKET_BITS, LANES]) into the layout of `add`."""
    return (weights.astype(np.int16) + 128).astype("<u2").view("<u8").astype(np.uint64)


@njit()
def _copy(source: np.ndarray, target: np.ndarray) -> None:
    for place in range(len(source)):
        target[place] = source[place]


@njit()
def measure(
    data: np.ndarray, scripts: np.ndarray, lowered: np.ndarray, marks: np.ndarray, weights: np.ndarray, weigh: bool
) -> tuple[np.ndarray, np.ndarray, int]:
    """Letters of each script, and the score of each language, of a text in UTF-8.

    Args:
        data: uint8, shape [bytes].
        scripts: script of each code point of the Basic Multilingual Plane; uint8, shape [65536].
        lowered: lower-case form of each; uint16, shape [65536].
        marks: count index of a Han character specific to one variant, or 0; uint8, shape [65536].
        weights: as for `add`.
        weigh: whether words are scored; if not, the sums are zero.

    Returns:
        Counts, int64 of shape [COUNTS]; sums of weights, int64 of shape [LANES]; and the number of scored words.
    """
    # Deliberately one loop: its parts share a dozen variables that change at each letter and stay in registers.
    counts = np.zeros(COUNTS, dtype=np.int64)
    sums = np.zeros(LANES, dtype=np.int64)
    word = np.zeros(LONGEST + 2, dtype=np.uint64)
    found = np.empty(2 * _PENDING, dtype=np.int64)
    held_counts, held_sums = np.zeros(COUNTS, dtype=np.int64), np.zeros(LANES, dtype=np.int64)
    held = np.zeros(3, dtype=np.int64)  # letters, words and text position saved at the start of a fence
    i, size, length, letters, words = 0, len(data), 0, 0, 0
    fence, pending = 0, 0
    line = True
    while i < size:
        if line and (data[i] == 0x60 or data[i] == 0x7E or data[i] == 0x20):
            run = fence_at(data, i)
            if run and (fence == 0 or (run >= fence and (run >> 20) == (fence >> 20))):
                add(found, pending, weights, sums)
                pending = 0
                if fence == 0:
                    fence = run
                    _copy(counts, held_counts)
                    _copy(sums, held_sums)
                    held[0], held[1], held[2] = letters, words, i
                else:
                    # If fences do not match (a truncated or shuffled page), there is prose between them.
                    if (counts[HANGUL] - held_counts[HANGUL]) * 15 <= i - held[2]:
                        _copy(held_counts, counts)
                        _copy(held_sums, sums)
                        letters, words = held[0], held[1]
                    fence = 0
                while i < size and data[i] != 0x0A:
                    i += 1
                continue
        line = False
        byte = data[i]
        if length == 0 and byte >= 0xEA:
            syllables = syllables_at(data, i)
            if syllables:
                counts[HANGUL] += syllables
                i += 3 * syllables
                continue
        if not weigh and byte < 0x80:
            latin = letters_at(data, i)
            if latin:
                counts[LATIN] += latin
                i += latin
                continue
        if fence == 0 and (byte == 0x60 or byte == 0x3C or byte == 0x68 or byte == 0x5D):
            end = after(data, i)
            if end > i:
                length = 0
                i = end
                continue
        if byte < 0x80:
            code, step = np.int64(byte), 1
        else:
            code, step = decode(data, i)  # type: ignore[assignment]
        script = scripts[code]
        i += step
        if script != NONE:
            counts[script] += 1
            if script in (LATIN, CYRILLIC):
                if weigh:
                    if length < LONGEST:
                        length += 1
                        word[length] = np.uint64(lowered[code])
                    if i < size:
                        continue
            elif script == HAN and marks[code]:
                counts[marks[code]] += 1
        elif byte == 0x0A:
            line = True
        if length:
            if letters < LETTERS:
                letters += length
                words += 1
                pending = rows_of(word, length, found, pending)
                if pending > _PENDING:
                    add(found, pending, weights, sums)
                    pending = 0
            length = 0
    add(found, pending, weights, sums)
    if fence and (counts[HANGUL] - held_counts[HANGUL]) * 15 <= size - held[2]:
        return held_counts, held_sums, held[1]
    return counts, sums, words


@njit()
def rows(data: np.ndarray, scripts: np.ndarray, lowered: np.ndarray) -> np.ndarray:
    """Feature rows of all words of a text in UTF-8; int64. Used to train the weights."""
    out = np.empty(4 * len(data) + 8, dtype=np.int64)
    word = np.zeros(LONGEST + 2, dtype=np.uint64)
    i, length, count = 0, 0, 0
    while i < len(data):
        code, step = decode(data, i)
        i += step
        script = scripts[code]
        if script in (LATIN, CYRILLIC):
            if length < LONGEST:
                length += 1
                word[length] = np.uint64(lowered[code])
            if i < len(data):
                continue
        if length:
            count = rows_of(word, length, out, count)
            length = 0
    return out[:count]


SYLLABLE = 2.5
"""Latin letters that a syllable block or a Han character counts as: about the number that writes the same sounds."""
LANGUAGES, LATIN_LANGUAGES, SCRIPTS = 32, 24, 26
"""Languages with weights, those in Latin letters among them (listed first), and scripts."""
UND, MUL, KO, JA, ZH, ZH_HANT = (LANGUAGES + SCRIPTS + place for place in range(6))
UNWEIGHED = -1
"""The words decide, and were not scored."""
GLANCE = 4096
"""Bytes searched for a Hangul syllable: after one, words rarely decide, so they are scored only if needed."""
_GREEK = 5
_FIRST_OTHER, _LAST_OTHER = 6, SCRIPTS - 1
EVIDENCE = 0.12
"""Logits per word by which the best language must lead the second, else `und` (ours, tuned on lists and code)."""


@njit()
def _place(counts: np.ndarray, sums: np.ndarray, words: int, priors: np.ndarray, minority: float, weighed: bool) -> int:
    """Index in `identify.NAMES` of the language of a text, from the results of `measure`; `UNWEIGHED` if its words
    decide and were not scored (`weighed` is False).

    `priors` is added to the sums of each language: int64, shape [LANES].
    """
    for lane in range(LANES):
        sums[lane] += priors[lane]
    korean, cjk = counts[HANGUL] * SYLLABLE, (counts[KANA] + counts[HAN]) * SYLLABLE
    total = korean + cjk + counts[LATIN] + counts[CYRILLIC]
    best, most = CYRILLIC, counts[CYRILLIC]
    for script in range(_GREEK, SCRIPTS):
        total += counts[script]
        if script != _GREEK and counts[script] > most:
            best, most = script, counts[script]
    if total < 4:
        return UND
    if korean >= minority * total and korean > cjk * 0.5:
        return KO
    if korean >= minority / 3 * total:
        return MUL
    if cjk >= minority * total and cjk >= most:
        if counts[KANA] * 20 > counts[KANA] + counts[HAN] or counts[JAPANESE] * 8 > counts[HAN]:
            return JA
        return ZH_HANT if counts[TRADITIONAL] > counts[SIMPLIFIED] else ZH
    if most * 3 >= total:
        if best != CYRILLIC:
            return LANGUAGES + best
        return _heaviest(sums, LATIN_LANGUAGES, LANGUAGES)[0] if weighed else UNWEIGHED
    if counts[_GREEK] > counts[LATIN]:
        return LANGUAGES + _GREEK
    if counts[LATIN] * 2 < total:
        return UND
    if not weighed:
        return UNWEIGHED
    first, lead = _heaviest(sums, 0, LATIN_LANGUAGES)
    return first if lead > EVIDENCE * UNIT * words else UND


@njit()
def _heaviest(sums: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """The lane of the largest sum, and its lead."""
    best, second = start, -(1 << 30)
    for lane in range(start + 1, end):
        if sums[lane] > sums[best]:
            best, second = lane, sums[best]
        elif sums[lane] > second:
            second = sums[lane]
    return best, sums[best] - second


@njit()
def languages(
    data: np.ndarray,
    ends: np.ndarray,
    scripts: np.ndarray,
    lowered: np.ndarray,
    marks: np.ndarray,
    weights: np.ndarray,
    priors: np.ndarray,
    minority: float,
) -> np.ndarray:
    """Index in `identify.NAMES` of the language of each of many concatenated UTF-8 texts.

    Args:
        ends: end offset of each text; int64, shape [texts].
        scripts, lowered, marks, weights: as for `measure`.
        priors: as for `_place`.
    """
    found = np.empty(len(ends), dtype=np.int64)
    start = 0
    for place in range(len(ends)):
        text, weigh = data[start : ends[place]], True
        for byte in text[:GLANCE]:
            if 0xEA <= byte <= 0xED:
                weigh = False
                break
        counts, sums, words = measure(text, scripts, lowered, marks, weights, weigh)
        found[place] = _place(counts, sums, words, priors, minority, weigh)
        if found[place] == UNWEIGHED:
            counts, sums, words = measure(text, scripts, lowered, marks, weights, True)
            found[place] = _place(counts, sums, words, priors, minority, True)
        start = ends[place]
    return found
