"""Compiles the dependent-word rules of `steps/heuristics/korean.py` from patterns into tables for a compiled scan.

The patterns use only literals, character classes, groups of optional alternatives, and a lookahead. Any other form is
refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kormo_plugins.corpus.scan.rule_codes import ANYTHING, BEHIND_HANGUL, END, NO_HANGUL, NOT_THESE, PLAIN

if TYPE_CHECKING:
    import numpy as np

_TAILS = {"$": END, "(?![가-힣])": NO_HANGUL}
_HANGUL = "[가-힣]"


def rule_tables(
    rules: Sequence[tuple[str, str]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The tables that `korean_kernel.korean` takes.

    Args:
        rules: pattern at the start of a word, and pattern at the end of the preceding word.
    Raises:
        ValueError: a pattern has an unsupported form.
    """
    import numpy as np

    words = [(number, tail, word) for number, (begin, _) in enumerate(rules) for tail, word in _literals(begin)]
    firsts = np.zeros((11172, 2), dtype=np.uint8)
    begins, literals, endings = [(0, 0)], list[list[int]](), list[list[int]]()
    for first in dict.fromkeys(word[0] for _, _, word in words):
        chosen = list(dict.fromkeys(number for number, _, word in words if word[0] == first))
        firsts[ord(first) - 0xAC00] = len(begins) - 1, len(chosen)
        for number in chosen:
            literals += [[tail, *map(ord, w)] for n, tail, w in words if n == number and w[0] == first]
            endings += [[kind, *map(ord, reversed(end))] for kind, end in _endings(rules[number][1])]
            begins.append((len(literals), len(endings)))
    return firsts, np.array(begins, np.int64), padded(literals, 8), padded(endings, 4)


def padded(rows: Sequence[Sequence[int]], width: int) -> np.ndarray:
    """Rows of code points, zero-padded; uint32, shape [rows, width]."""
    import numpy as np

    table = np.zeros((len(rows), width), dtype=np.uint32)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table


def _literals(pattern: str) -> Iterator[tuple[int, str]]:
    tail = ANYTHING
    for end, kind in _TAILS.items():
        if pattern.endswith(end):
            pattern, tail = pattern.removesuffix(end), kind
    for word in expanded(pattern):
        yield tail, word


def _endings(pattern: str) -> Iterator[tuple[int, str]]:
    excluded = [part for part in alternatives(pattern) if part.startswith(f"{_HANGUL}(?<![")]
    for part in excluded:  # every last syllable except these, which covers the other alternatives
        for char in part.removeprefix(f"{_HANGUL}(?<![").removesuffix("])"):
            yield NOT_THESE, char
    for part in alternatives(pattern) if not excluded else ():
        kind = BEHIND_HANGUL if part.startswith(_HANGUL) else PLAIN
        for word in expanded(part.removeprefix(_HANGUL)):
            yield kind, word


def alternatives(pattern: str) -> list[str]:
    """The top-level alternatives of a pattern."""
    parts, depth = [""], 0
    for char in pattern:
        depth += (char in "([") - (char in ")]")
        if char == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def expanded(pattern: str) -> list[str]:
    """Every string matched by a pattern of literals, classes and groups.

    Raises:
        ValueError: a pattern has an unsupported form.
    """
    texts = [""]
    while pattern:
        if pattern[0] == "[":
            body, _, pattern = pattern[1:].partition("]")
            chars = [chr(code) for code in range(ord(body[0]), ord(body[2]) + 1)] if body[1:2] == "-" else list(body)
        elif pattern.startswith("(?:"):
            body, _, pattern = pattern[3:].partition(")")
            chars = [one for part in body.split("|") for one in expanded(part)]
        else:
            chars, pattern = [pattern[0]], pattern[1:]
        if any(set(one) & set("()[]|*+?{}\\.^$") for one in chars):
            raise ValueError(pattern)
        if pattern.startswith("?"):
            chars, pattern = ["", *chars], pattern[1:]
        texts = [before + char for before in texts for char in chars]
    return texts
