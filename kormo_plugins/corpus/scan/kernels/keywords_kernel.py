"""Multi-string search (Aho and Corasick 1975): time depends on the text only, not on the number of strings."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kormo_plugins.corpus.scan.bits import SPACE
from kormo_plugins.store.compiled.functions import njit

_FOLDED = {0x17F: "s", 0x212A: "k", 0x130: "i", 0x131: "i", 0x24B8: "ⓒ"}
"""Characters that a case-insensitive pattern treats as a letter, besides its capital."""


@dataclass(frozen=True)
class Automaton:
    """The search automaton.

    Accepting states come last, so that one comparison detects a match. `marks` and `counts` exist for them only.

    Args:
        letters: index of each code point (0: in no string); uint8, shape [0x110000].
        moves: offset of the next state's row; uint32, shape [states × width].
        width: number of letters plus one for all other characters.
        marks: bits of the groups found; int64, shape [accepting states].
        counts: number of strings of the counted group that end there; int8, same shape as `marks`.
    """

    letters: np.ndarray
    moves: np.ndarray
    width: int
    marks: np.ndarray
    counts: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray, int, np.ndarray, np.ndarray]:
        """The arguments that `lines_with` and `holds` take."""
        return self.letters, self.moves, self.width, self.marks, self.counts


def automaton(groups: Mapping[int, str], counted: int) -> Automaton:
    """Builds the automaton for groups of lower-case strings.

    Args:
        groups: mark of a group -> its strings, separated by `|`.
        counted: mark of the group whose matches are counted.
    """
    alphabet = sorted({char for strings in groups.values() for char in strings})
    number = {char: index + 1 for index, char in enumerate(alphabet)}
    letters = np.zeros(0x110000, dtype=np.uint8)
    for char, index in number.items():
        letters[ord(char)] = index
        if len(char.upper()) == 1:
            letters[ord(char.upper())] = index
    for code, char in _FOLDED.items():
        letters[code] = number.get(char, 0)
    moves: list[list[int]] = [[0] * (len(alphabet) + 1)]
    marks, counts = [0], [0]
    for mark, strings in groups.items():
        for string in strings.split("|"):
            state = 0
            for char in string:
                if not moves[state][number[char]]:
                    moves[state][number[char]] = len(moves)
                    moves.append([0] * (len(alphabet) + 1))
                    marks.append(0)
                    counts.append(0)
                state = moves[state][number[char]]
            marks[state] |= mark
            counts[state] += mark == counted
    back = [0] * len(moves)
    waiting = deque(state for state in moves[0] if state)
    while waiting:
        state = waiting.popleft()
        marks[state] |= marks[back[state]]
        counts[state] += counts[back[state]]
        for letter, following in enumerate(moves[state]):
            fallback = moves[back[state]][letter]
            if following:
                back[following] = fallback
                waiting.append(following)
            else:
                moves[state][letter] = fallback
    order = sorted(range(len(moves)), key=lambda state: marks[state] != 0)
    width, place = len(alphabet) + 1, np.argsort(order)
    found = [state for state in order if marks[state]]
    return Automaton(
        letters,
        (place[np.array(moves)[order]] * width).astype(np.uint32).ravel(),
        width,
        np.array([marks[state] for state in found], dtype=np.int64),
        np.array([counts[state] for state in found], dtype=np.int8),
    )


Parts = tuple[np.ndarray, np.ndarray, int, np.ndarray, np.ndarray]


@njit()
def holds(codes: np.ndarray, start: int, end: int, parts: Parts) -> bool:
    """Whether any string of an `Automaton` occurs in a range of the text; code points, uint32, [characters]."""
    letters, moves, width, marks, _ = parts
    at, finds = np.uint64(0), np.uint64(len(moves) - width * len(marks))
    for place in range(start, end):
        at = np.uint64(moves[at + np.uint64(letters[codes[place]])])
        if at >= finds:
            return True
    return False


@njit()
def _has(codes: np.ndarray, start: int, end: int, wanted: int) -> bool:
    for at in range(start, end):  # noqa: SIM110
        if codes[at] == wanted:
            return True
    return False


@njit()
def lines_with(
    codes: np.ndarray,
    bits: np.ndarray,
    longest: int,
    parts: Parts,
    wanted: np.ndarray,
    fewest: int,
) -> np.ndarray:
    """The short lines with sufficient matches.

    Args:
        codes: code points of the text, uint32, shape [characters].
        bits: of each code point, uint16.
        longest: maximum characters of a line, without surrounding white space.
        parts: of an `Automaton`.
        wanted: sets of marks, int64; a line matches if it has all marks of one set,
        fewest: or at least this many strings of the counted group.
    Returns:
        start and end of each, int64, shape [lines, 2].
    """
    letters, moves, width, marks, counts = parts
    size, start, count = len(codes), 0, 0
    finds = np.uint64(len(moves) - width * len(marks))
    found = np.empty((size // 2 + 1, 2), dtype=np.int64)  # mostly untouched pages
    while start < size:
        end = start
        while end < size and codes[end] != 10:
            end += 1
        first, last = start, end
        while first < last and bits[codes[first]] & SPACE:
            first += 1
        while last > first and bits[codes[last - 1]] & SPACE:
            last -= 1
        if first < last and last - first <= longest:
            at, seen, times = np.uint64(0), np.int64(0), 0
            for place in range(first, last):
                at = np.uint64(moves[at + np.uint64(letters[codes[place]])])
                if at >= finds:
                    state = np.int64(at - finds) // width
                    seen |= marks[state]
                    times += counts[state]
            hit = times >= fewest
            if seen:
                for want in wanted:
                    hit |= seen & want == want
            if hit and not _has(codes, first, last, 96):
                found[count, 0], found[count, 1] = start, end
                count += 1
        start = end + 1
    return found[:count]
