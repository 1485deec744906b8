"""Extracts the final answer from generated text (an option, a number, or a few words), and estimates pass@k.

Searched in this order, the last match of each kind counts, since a model may consider several: `\\boxed{…}`; after
"정답은", "정답:", "답:", "answer is", "answer:"; and, for options, a bracketed or circled one, or one alone on the last
line. A text without any of these has no answer: it is scored as wrong and lowers `extracted`.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import unicodedata
from collections.abc import Sequence

_BOXED = re.compile(r"\\boxed\{")
_BRACE = re.compile(r"[{}]")
_NUMBER = re.compile(r"[^\d.+-]*([+-]?(?:\d+(?:\.\d+)?|\.\d+))(?:/(\d+))?[^\d/]*")
_MARK = re.compile(r"(?:정답(?:은|이|:|：|\s)|(?<![대정])답(?:은|:|：)|answer\s*(?:is|:))\s*[:：]?\s*", re.I)
_CIRCLED = {"①": "1", "②": "2", "③": "3", "④": "4", "⑤": "5"}
_OPTION = re.compile(r"(?<![\w.,])\(?([1-9]|[A-J])(?:\)|번|\.(?!\d)|(?![\w.,]\d|\w))")
_POWER = re.compile(r"\^(?:\{-?(\d{1,3})\}|\{-?\d?[a-zA-Z]\}|[a-zA-Z]|\{-?\\frac\{?\d\}?\{?\d\}?\}|(\d)(?!\d))(?!\^)")
"""A power that is cheap to evaluate: of up to three digits, of a letter, or of a fraction of two digits."""
_COSTLY = re.compile(r"!|\d{7,}|\\(?:binom|dbinom|tbinom|choose|sum|prod|int|iint|lim|operatorname)(?![a-zA-Z])")
LONGEST, HIGHEST_POWER = 200, 10_000
"""Characters, and the product of all powers, up to which expressions are compared by their value."""
_HAS_VALUE = re.compile(r"[\d\\a-zA-Z]")
_ENDINGS = re.compile(r"(?:입니다|이에요|예요|이다|이며|라고 합니다|은|는|이|가|을|를|의)$")


def boxed(text: str) -> str | None:
    """Content of the last `\\boxed{…}` whose braces are balanced, at any depth; takes time linear in the text."""
    opened: list[int] = []
    closed_at: dict[int, int] = {}
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            closed_at[opened.pop()] = brace.start()
    for mark in reversed(list(_BOXED.finditer(text))):
        if (end := closed_at.get(mark.end() - 1)) is not None:
            return text[mark.end() : end].strip()
    return None


def said(text: str) -> str | None:
    """Text after the last "정답은", "답:" or "answer is", up to the end of the line."""
    marks = list(_MARK.finditer(text))
    rest = text[marks[-1].end() :].strip() if marks else ""
    return rest.splitlines()[0].strip() if rest else None


def option(text: str, options: Sequence[str]) -> int | None:
    """Index of the option that a text chooses, from 0; None: none of them.

    Args:
        options: texts of the options, numbered from 1 or lettered from A.
    """
    plain = "".join(_CIRCLED.get(character, character) for character in unicodedata.normalize("NFC", text))
    last = plain.strip().splitlines()[-1] if plain.strip() else ""
    for place, part in enumerate((boxed(plain), said(plain), last)):
        if part is None:
            continue
        bare = re.sub(r"[*$\\{}]|text", "", part).strip()
        found = _OPTION.findall(bare)
        if found and (place < 2 or len(bare) <= 12):
            number = int(found[0]) - 1 if found[0].isdigit() else ord(found[0]) - ord("A")
            return number if number < len(options) else None
        matches = [number for number, one in enumerate(options) if normal(one) and normal(one) == normal(bare)]
        if len(matches) == 1:
            return matches[0]
    return None


def short_answer(text: str) -> str | None:
    """A short answer: boxed, after a marker, or the first line; None for a text without a letter or digit."""
    answer = boxed(text) or said(text) or next((line for line in text.splitlines() if line.strip()), "")
    return answer.strip() if any(character.isalnum() for character in answer) else None


def normal(text: str) -> str:
    """Normalizes a text for comparison: NFC, without case, spaces, punctuation, and a final copula or particle."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = re.sub(r"\([^()]*\)", "", plain)
    bare = "".join(character for character in plain if character.isalnum() or character.isspace()).strip()
    return re.sub(r"\s+", "", _ENDINGS.sub("", bare) or bare)


def number(text: str) -> float | None:
    """A number as people write it: `1,200원`, `3/4`, `\\frac{3}{4}`, `25%`; None for anything else."""
    plain = re.sub(r"\\[dt]?frac\{(-?\d+)\}\{(\d+)\}", r"\1/\2", text)
    plain = re.sub(r"[\s$,]|\\(?:text|mathrm|,|!|%)|[{}]", "", plain)
    match = _NUMBER.fullmatch(plain)
    if not match or not (divisor := float(match[2] or 1)):  # not int, which refuses more than 4,300 digits
        return None
    return float(match[1]) / divisor


def same_number(text: str, right: str) -> bool:
    """Whether the final answer of a text is correct: compared as numbers if both are, else as expressions."""
    final = boxed(text) or said(text) or (re.findall(r"[-+]?\d[\d,]*\.?\d*(?:/\d+)?", text) or [""])[-1]
    one, other = number(final), number(right)
    if one is not None and other is not None:
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return bool(final) and same_expression(final, right)


def same_expression(one: str, other: str) -> bool:
    """Whether two LaTeX expressions are equal, as written or as Math-Verify decides (`\\frac{\\sqrt2}2` and
    `1/\\sqrt{2}`).

    Only its LaTeX grammar is used, since its plain expressions are evaluated as Python. Expressions whose value could
    occupy the machine (`_cheap`) are only compared as written, so that no limit of time decides a score.
    """
    plain = [re.sub(r"[\s$]|\\[,!]|\\left|\\right", "", part) for part in (one, other)]
    if plain[0] == plain[1]:
        return True
    if not all(map(_cheap, plain)):
        return False
    from math_verify import LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns of every call without a limit of time
    seconds = 5 if threading.current_thread() is threading.main_thread() else 0  # the limit is a signal's
    config = [LatexExtractionConfig()]
    parsed = [parse(f"${part}$", config, parsing_timeout=seconds) for part in (one.strip("$ "), other.strip("$ "))]
    return all(parsed) and bool(verify(*parsed, timeout_seconds=seconds))


def _cheap(expression: str) -> bool:
    """Whether an expression without spaces is short, and is evaluated with small numbers."""
    powers = list(_POWER.finditer(expression))
    product = math.prod(int(power[1] or power[2] or 1) or 1 for power in powers)
    known = len(powers) == expression.count("^") and not _COSTLY.search(expression)
    return len(expression) <= LONGEST and known and product <= HIGHEST_POWER and bool(_HAS_VALUE.search(expression))


def listed_options(question: str) -> dict[str, str]:
    """Options that a question lists in lines of its own, `1. …` to `9. …`: number -> text."""
    return {number: text.strip() for number, text in re.findall(r"^[^\S\n]*([1-9])\.\s+(.+)$", question, re.M)}


def pass_at(k: int, tries: int, right: int) -> float:
    """Unbiased estimate that at least one of `k` samples is correct: 1 - C(n - c, k) / C(n, k)
    (Chen et al., arXiv 2107.03374).

    Raises:
        ValueError: fewer than `k` tries, or more correct ones than tries.
    """
    if not 1 <= k <= tries or not 0 <= right <= tries:
        raise ValueError(f"pass@{k} of {tries} tries, {right} of them right")
    return 1.0 - math.comb(tries - right, k) / math.comb(tries, k)
