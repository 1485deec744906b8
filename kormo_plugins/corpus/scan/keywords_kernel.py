"""Many plain strings sought at once in a text (Aho and Corasick 1975), in time that is the text's alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kormo_plugins.corpus.scan.bits import SPACE
from kormo_plugins.corpus.scan.growing_kernel import with_pair
from kormo_plugins.store.compiled import njit

_FOLDED = {0x17F: "s", 0x212A: "k", 0x130: "i", 0x131: "i", 0x24B8: "ⓒ"}
"""What a pattern that ignores case takes for a letter, beside its capital."""


@dataclass(frozen=True)
class Automaton:
    """The strings as a machine: `letters`, uint8 [0x110000], number of each code point (0: in no string); `moves`,
    int16 [states, letters], the next state; `marks`, int64 [states], what is found on entering a state; `counts`, int8
    [states], how many strings of the group that is counted end there."""

    letters: np.ndarray
    moves: np.ndarray
    marks: np.ndarray
    counts: np.ndarray


def automaton(groups: Mapping[int, str], counted: int) -> Automaton:
    """The machine for groups of strings in lower case.

    Args:
        groups: mark of a group -> its strings, with `|` between them.
        counted: mark of the group that is counted.
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
    return Automaton(
        letters, np.array(moves, dtype=np.int16), np.array(marks, dtype=np.int64), np.array(counts, dtype=np.int8)
    )


@njit()
def holds(codes: np.ndarray, letters: np.ndarray, moves: np.ndarray, marks: np.ndarray) -> bool:
    """Whether one of the strings of an `Automaton` is in a text; code points, uint32, shape [characters]."""
    state = 0
    for code in codes:
        state = moves[state, letters[code]]
        if marks[state]:
            return True
    return False


@njit()
def lines_with(
    codes: np.ndarray,
    bits: np.ndarray,
    longest: int,
    letters: np.ndarray,
    moves: np.ndarray,
    marks: np.ndarray,
    counts: np.ndarray,
    wanted: np.ndarray,
    fewest: int,
) -> np.ndarray:
    """The short lines in which enough is found.

    Args:
        codes: code points of the text, uint32, shape [characters].
        bits: of each code point, uint16.
        longest: characters of a line without the white space around it.
        letters, moves, marks, counts: of an `Automaton`.
        wanted: sets of marks of which one must be there as a whole, int64.
        fewest: or so many strings of the group that is counted.
    Returns:
        start and end of each, int64, shape [lines, 2].
    """
    size, start, count = len(codes), 0, 0
    found = np.empty((8, 2), dtype=np.int64)
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
            state, seen, times, code_sign = 0, np.int64(0), 0, False
            for at in range(first, last):
                code_sign |= codes[at] == 96
                state = moves[state, letters[codes[at]]]
                seen |= marks[state]
                times += counts[state]
            hit = times >= fewest
            for want in wanted:
                hit |= seen & want == want
            if hit and not code_sign:
                found = with_pair(found, count, start, end)
                count += 1
        start = end + 1
    return found[:count]
