"""The compiled part of `korean`: eojeol, sentence lines, and dependent words after the ending that they require."""

from __future__ import annotations

import numpy as np

from kormo_plugins.corpus.scan.bits import HANGUL, PARTICLE, SPACE, WORD
from kormo_plugins.store.compiled.functions import njit

(EOJEOL, SYLLABLES, PARTICLES, TOLD, CHARACTERS, SIGNS, AGREEING, DEPENDENT, FIELDS) = range(9)
"""Fields of the result: eojeol (words that end in Hangul) and their characters; eojeol that end like a particle or an
ending; characters in sentence lines, and in all lines; characters that are no letter, digit or space; dependent words
after the ending they require, and all dependent words."""


@njit()
def _in(code: int, sorted_codes: np.ndarray) -> bool:
    for one in sorted_codes:  # noqa: SIM110
        if one == code:
            return True
    return False


@njit()
def _ends_with(codes: np.ndarray, start: int, end: int, suffixes: np.ndarray) -> bool:
    """Whether the range ends with one of `suffixes`; uint32, shape [suffixes, 3], reversed and zero-padded."""
    for k in range(len(suffixes)):
        if end > start and codes[end - 1] == suffixes[k, 0]:
            if suffixes[k, 1] == 0:
                return True
            third = suffixes[k, 2] == 0 or (end - 2 > start and codes[end - 3] == suffixes[k, 2])
            if third and end - 1 > start and codes[end - 2] == suffixes[k, 1]:
                return True
    return False


@njit()
def _begins(codes: np.ndarray, start: int, end: int, bits: np.ndarray, literals: np.ndarray, row: int) -> bool:
    """Whether a rule's literal is at the start of a word; its first number encodes what has to follow."""
    at = start
    for k in range(1, literals.shape[1]):
        if literals[row, k] == 0:
            break
        if at == end or codes[at] != literals[row, k]:
            return False
        at += 1
    if literals[row, 0] == 1:
        return at == end or not bits[codes[at]] & HANGUL
    return literals[row, 0] == 0 or at == end


@njit()
def _agrees(
    codes: np.ndarray, start: int, end: int, bits: np.ndarray, endings: np.ndarray, first: int, behind: int
) -> bool:
    """Whether a word ends as a rule requires; `endings`: uint32, [endings, 4], kind followed by the reversed
    characters; rows `first` to `behind` (exclusive) belong to the rule."""
    last = codes[end - 1]
    for k in range(first, behind):
        if endings[k, 0] == 2:
            if not bits[last] & HANGUL:
                return False
            for other in range(k, behind):  # noqa: SIM110
                if endings[other, 1] == last:
                    return False
            return True
        if endings[k, 1] != last:
            continue
        at, same = end - 1, True
        for place in range(2, 4):
            if endings[k, place] == 0:
                break
            at -= 1
            if at < start or codes[at] != endings[k, place]:
                same = False
                break
        if same and (endings[k, 0] == 0 or (at > start and bits[codes[at - 1]] & HANGUL)):
            return True
    return False


@njit()
def korean(
    codes: np.ndarray,
    bits: np.ndarray,
    lines: np.ndarray,
    signs: tuple[np.ndarray, np.ndarray, np.ndarray],
    rules: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    clause: int,
) -> np.ndarray:
    """The Korean features of a text.

    Args:
        codes: code points of the prose, uint32, shape [characters].
        bits: of each code point, uint16, shape [0x110000].
        lines: the non-empty lines (`lines_kernel.lines`).
        signs: characters allowed after the end of a sentence; sentence-final characters; endings of reports
            (`_ends_with`).
        rules: for each syllable from U+AC00 on the index of its first rule and the number of rules, uint8 [11172, 2];
            start offsets of each rule's literals and endings, int64 [rules + 1, 2]; the literals; the endings.
        clause: minimum number of words in a clause, which no menu entry reaches.
    Returns:
        int64, shape [FIELDS].
    """
    # Deliberately one loop: with separate functions for a word's rule and the end of a line it takes 1.4 times as long,
    # because each call updates reference counts of the arrays.
    closers, enders, reports = signs
    firsts, begins, literals, endings = rules
    # Scalars and row indices: writing an array field costs a store, and a view costs a reference count.
    eojeols = syllables = all_particles = characters = told_characters = symbols = agreeing = dependent = 0
    for line in range(len(lines)):
        start, end = lines[line, 0], lines[line, 1]
        characters += end - start
        at = end - 1
        while at >= start and _in(codes[at], closers):
            at -= 1
        told = end - start > 120 or (at >= start and _in(codes[at], enders))
        at, words, particles, before, before_end = start, 0, 0, 0, 0
        while at < end:
            begin, eojeol = at, -1
            while at < end and not bits[codes[at]] & SPACE:
                bit = bits[codes[at]]
                if bit & WORD:
                    if eojeol < 0:
                        eojeol = at
                    if at + 1 == end or not bits[codes[at + 1]] & WORD:
                        if bit & HANGUL:
                            eojeols += 1
                            syllables += at + 1 - eojeol
                            all_particles += bit & PARTICLE != 0
                        eojeol = -1
                else:
                    symbols += 1
                at += 1
            told |= codes[at - 1] == 46 and at < end and codes[at] == 32
            words += 1
            last = at - 1
            while last >= begin and (codes[last] == 44 or codes[last] == 59):
                last -= 1
            particles += last >= begin and bits[codes[last]] & PARTICLE != 0
            if words > 1 and 0xAC00 <= codes[begin] <= 0xD7A3:
                row = np.int64(codes[begin]) - 0xAC00
                rule, behind = np.int64(firsts[row, 0]), np.int64(firsts[row, 0]) + np.int64(firsts[row, 1])
                while rule < behind:
                    matches = False
                    for k in range(begins[rule, 0], begins[rule + 1, 0]):
                        if _begins(codes, begin, at, bits, literals, k):
                            matches = True
                            break
                    if matches:
                        dependent += 1
                        agreeing += _agrees(
                            codes, before, before_end, bits, endings, begins[rule, 1], begins[rule + 1, 1]
                        )
                        break
                    rule += 1
            before, before_end = begin, at
            while at < end and bits[codes[at]] & SPACE:
                at += 1
        if not told and words >= 3:
            last = end
            told = _ends_with(codes, start, last, reports)
            if not told and (codes[last - 1] == 46 or codes[last - 1] == 41):
                told = _ends_with(codes, start, last - 1, reports)
        if not told:
            told = words >= clause and 2 * particles >= words
        if told:
            told_characters += end - start
    found = np.zeros(FIELDS, dtype=np.int64)
    found[EOJEOL], found[SYLLABLES], found[PARTICLES], found[TOLD] = eojeols, syllables, all_particles, told_characters
    found[CHARACTERS], found[SIGNS], found[AGREEING], found[DEPENDENT] = characters, symbols, agreeing, dependent
    return found
