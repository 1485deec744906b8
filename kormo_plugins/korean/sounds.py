"""Hangul arithmetic on jamo, and the final sound of a word as pronounced in Korean.

A Hangul syllable is a number: U+AC00 + (lead * 21 + vowel) * 28 + tail. All functions use that arithmetic, with tables
for digits, units and letters, which are also pronounced in Korean.
"""

from __future__ import annotations

import re
from functools import lru_cache

_BASE = 0xAC00
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
TAILS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"


def split(syllable: str) -> tuple[int, str, str]:
    """`한` -> (18, "ㅏ", "ㄴ"): index of the lead, vowel, tail ("" if none)."""
    number = ord(syllable) - _BASE
    return number // 588, _VOWELS[number // 28 % 21], TAILS[number % 28].strip()


def join(lead: int, vowel: str, tail: str = "") -> str:
    """The inverse of `split`."""
    return chr(_BASE + (lead * 21 + _VOWELS.index(vowel)) * 28 + (TAILS.index(tail) if tail else 0))


def is_syllable(character: str) -> bool:
    """Whether the character is a precomposed Hangul syllable."""
    return "가" <= character <= "힣"


def with_tail(text: str, tail: str) -> str:
    """`text` with the tail of its last syllable replaced ("" removes it)."""
    lead, vowel, _ = split(text[-1])
    return text[:-1] + join(lead, vowel, tail)


_CLOSING = "\"')]}”’」』》.,!?"
_DIGIT_TAILS = dict(zip("0123456789", ("ㅇ", "ㄹ", "", "ㅁ", "", "", "ㄱ", "ㄹ", "ㄹ", ""), strict=True))
_LETTER_TAILS = {
    "L": "ㄹ",
    "M": "ㅁ",
    "N": "ㄴ",
    "R": "ㄹ",
}  # 엘, 엠, 엔, 알; every other name ends in a vowel
_UNIT_TAILS = {"kg": "ㅁ", "g": "ㅁ", "mg": "ㅁ", "km": "", "m": "", "cm": "", "mm": "", "L": "", "mL": ""}
_FRACTION = re.compile(r"(\d+)/\d+$")
_NUMBER = re.compile(r"(\d[\d,]*)(\.\d+)?$")


def number_tail(digits: str, fraction: str = "") -> str:
    """Final sound of a number in Sino-Korean: 10 is 십 (ㅂ), 300 is 삼백 (ㄱ), 2.5 ends in 오 (none)."""
    if fraction:
        return _DIGIT_TAILS[fraction[-1]]
    digits = digits.replace(",", "")
    zeros = len(digits) - len(digits.rstrip("0"))
    if not zeros or zeros == len(digits):
        return _DIGIT_TAILS[digits[-1]]
    if zeros < 4:
        return ("ㅂ", "ㄱ", "ㄴ")[zeros - 1]  # 십, 백, 천
    return ("ㄴ", "ㄱ", "", "ㅇ")[min(zeros // 4, 4) - 1]  # 만, 억, 조, 경


def latin_tail(word: str) -> str:
    """Final sound of Latin letters as pronounced in Korean; a heuristic, exact for the words used in this package.

    All-capital words are spelt out (GPU: 유). A final l, m, n or ng closes the last syllable (Python: 썬), and so does
    c, k, p or t after a short vowel (top: 톱, book: 북). All others take an epenthetic vowel (test: 테스트).
    """
    if word in _UNIT_TAILS:
        return _UNIT_TAILS[word]
    if word.isupper():
        return _LETTER_TAILS.get(word[-1], "")
    low = word.lower()
    if low.endswith("ng"):
        return "ㅇ"
    if low[-1] in "lmn":
        return {"l": "ㄹ", "m": "ㅁ", "n": "ㄴ"}[low[-1]]
    if low.endswith(("le", "me", "ne")) and len(low) > 3:
        return {"l": "ㄹ", "m": "ㅁ", "n": "ㄴ"}[low[-2]]
    if re.search(r"[^aeiou][aeiou][ckpt]$|[^aeiou]ck$|ook$", low):
        return {"c": "ㄱ", "k": "ㄱ", "p": "ㅂ", "t": "ㅅ"}[low[-1]]
    return ""


@lru_cache(maxsize=65536)
def final_sound(word: str) -> str:
    """The tail consonant of a word as pronounced in Korean; "" after a vowel."""
    word = word.rstrip(_CLOSING)
    if not word:
        return ""
    last = word[-1]
    if is_syllable(last):
        return split(last)[2]
    if fraction := _FRACTION.search(word):
        return number_tail(fraction[1])  # 2/3 is pronounced 삼분의 이
    if number := _NUMBER.search(word):
        return number_tail(number[1], number[2] or "")
    if latin := re.search(r"[A-Za-z]+$", word):
        return latin_tail(latin[0])
    return ""  # %, ℃ and the like: 퍼센트, 도
