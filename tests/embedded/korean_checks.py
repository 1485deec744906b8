"""An independent look at particles: regular expressions and Unicode, none of the generator's code."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

PAIRS = (
    ("은", "는"),
    ("이", "가"),
    ("을", "를"),
    ("과", "와"),
    ("이다", "다"),
    ("이에요", "예요"),
    ("이었", "였"),
)
_DIGIT_CLOSED = dict(zip("0123456789", map(bool, (1, 1, 0, 1, 0, 0, 1, 1, 1, 0)), strict=True))
# words that end like a particle after the other kind of sound, and are none
_NOT_A_PARTICLE = {"바로", "새로", "서로", "따로", "별로", "실제로", "그대로", "대로", "스스로", "도로"}


def closed(word: str) -> bool:
    """Whether the word ends in a consonant when read (Hangul, or a plain whole number)."""
    if word[-1].isdigit():
        digits = word.replace(",", "")
        return True if digits.endswith("0") else _DIGIT_CLOSED[digits[-1]]
    return len(unicodedata.normalize("NFD", word[-1])) == 3


def liquid(word: str) -> bool:
    """Whether the word ends in ㄹ when read."""
    if word[-1].isdigit():
        return word[-1] in "178"
    return unicodedata.normalize("NFD", word[-1])[-1] == "\u11af"


def wrong_particles(text: str, nouns: Iterable[str]) -> list[str]:
    """Every word of `text` whose particle does not fit: after the known `nouns` and after numbers all
    particles, and after any Hangul the ones that cannot be mistaken (를, 로)."""
    nouns = set(nouns)
    alternatives = "|".join(sorted(map(re.escape, nouns), key=len, reverse=True))
    known = re.compile(
        rf"(?<![가-힣])({alternatives}|(?<![\d,./])(?:\d[\d,]*\d|\d))(은|는|이|가|을|를|과|와)(?![가-힣])"
    )
    wrong = []
    for match in known.finditer(text):
        word, particle = match.groups()
        pair = next(pair for pair in PAIRS if particle in pair)
        if particle != pair[0 if closed(word) else 1]:
            wrong.append(match[0])
    for word in re.findall(r"[가-힣]+를(?![가-힣])", text):
        if closed(word[:-1]):
            wrong.append(word)
    for word in re.findall(r"[가-힣]+으로(?![가-힣])", text):
        if word[:-2] and (not closed(word[:-2]) or liquid(word[:-2])):
            wrong.append(word)
    for word in re.findall(r"[가-힣]+로(?![가-힣])", text):
        if word not in _NOT_A_PARTICLE | nouns and closed(word[:-1]) and not liquid(word[:-1]):
            wrong.append(word)
    copula = re.compile(rf"(?<![가-힣])({alternatives})(이에요|예요|이었|였)(?=다|어요|습니다|어|\W|$)")
    for match in copula.finditer(text):
        if (match[2] in ("이에요", "이었")) != closed(match[1]):
            wrong.append(match[0])
    return wrong
