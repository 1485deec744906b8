"""Counts Korean text: syllables, eojeol and sentences; the share of Korean, and foreign words.

A syllable is a precomposed Hangul character (가-힣); text is normalized first (NFC), so that separate jamo count as the
syllables they form. An *eojeol* is a space-separated unit with at least one letter or digit, so a dash or bullet is
none. A sentence ends at its mark (. ! ? …) before a space, a closing quote or the end of the line, and always at a line
break; the dot of a decimal, of a numbered item (`1.`) or of a file name ends nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.S)
_INLINE = re.compile(r"`[^`\n]*`|https?://\S+|[\w.+-]+@[\w-]+\.\w+")
_MARKER = re.compile(r"^\s*(?:#{1,6}|[-*•·▪]|\(?(?:\d{1,3}|[a-zA-Z가나다라마바사아자차카타파하])[.)])\s+")
_END = re.compile(r"[.!?。！？…]+[\"'”’」』)\]*]*(?=\s|$)")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|vs|etc|No|e\.g|i\.e|St|Jr|Sr)|(?<!\w)[A-Z])\.$")
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*[A-Za-z]")
_HANJA_KANA = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")


def composed(text: str) -> str:
    """The text with every syllable as one character (NFC)."""
    return unicodedata.normalize("NFC", text)


def prose(text: str) -> str:
    """The text without code, addresses and links, which belong to no language."""
    return _INLINE.sub(" ", _FENCED.sub(" ", composed(text)))


def syllables(text: str) -> int:
    """Number of Hangul syllables; single jamo (ㅋㅋ) are not counted."""
    return sum("가" <= character <= "힣" for character in composed(text))


def letters(text: str) -> int:
    """Number of characters without white space, as Korean forms count them (공백 제외 글자 수)."""
    return sum(not character.isspace() for character in composed(text))


def eojeols(text: str) -> list[str]:
    """The eojeol of a text, in order, with adjacent punctuation."""
    return [word for word in composed(text).split() if any(character.isalnum() for character in word)]


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, without list and heading markers.

    A line without a final mark (a heading, a list item) is a sentence if it has a letter or a digit.
    """
    result: list[str] = []
    for line in composed(text).splitlines():
        line, start = _MARKER.sub("", line.strip(" *_>|")), 0
        for mark in _END.finditer(line):
            piece = line[start : mark.end()]
            if _ABBREVIATION.search(piece):
                continue
            result.append(piece.strip())
            start = mark.end()
        result.append(line[start:].strip())
    return [sentence for sentence in result if any(character.isalnum() for character in sentence)]


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, separated by empty lines."""
    return [part.strip() for part in re.split(r"\n\s*\n", composed(text)) if part.strip()]


def hangul_share(text: str) -> float | None:
    """Share of Hangul among the letters of the prose, 0 to 1; None for a text without letters."""
    alphabetic = [character for character in prose(text) if unicodedata.category(character)[0] == "L"]
    if not alphabetic:
        return None
    return sum("가" <= character <= "힣" or "\u3130" <= character <= "\u318f" for character in alphabetic) / len(
        alphabetic
    )


def foreign_words(text: str, allowed: Collection[str] = ()) -> list[str]:
    """Words in Latin letters, Chinese characters or kana in the prose: code switches in a Korean text.

    Not counted are single-letter words, abbreviations in capitals (`GPU`), glosses in brackets (번역투
    (translationese)), and words in `allowed`, usually those of the question.

    Args:
        allowed: words that are not code switches, compared case-insensitively.
    """
    known = {word.casefold() for word in allowed}
    plain = re.sub(r"\([^()\n]*\)", " ", prose(text))
    candidates = [word for word in _WORD.findall(plain) if not word.isupper()] + _HANJA_KANA.findall(plain)
    return [word for word in candidates if word.casefold() not in known]


def latin_words(text: str) -> list[str]:
    """Every Latin word of at least two letters, and every run of Chinese characters or kana; for use as `allowed`."""
    return [*_WORD.findall(composed(text)), *_HANJA_KANA.findall(text)]
