"""Counting Korean text: syllables, eojeol and sentences; how much of it is Korean, and what in it is not.

A syllable is a precomposed Hangul character (가-힣); text is put into that form first (NFC), so that jamo written
apart count as the syllables that they make. An *eojeol* is what stands between spaces and holds a letter or a digit: a
dash or a bullet between spaces is none. A sentence ends at its mark (. ! ? …) before a space, a closing quote or the
end of the line; a decimal, a numbered item's `1.` and a file name's dot end nothing, and a line break always does.
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
    """The text without code, addresses and links, which are of no language."""
    return _INLINE.sub(" ", _FENCED.sub(" ", composed(text)))


def syllables(text: str) -> int:
    """Number of Hangul syllables; jamo that stand alone (ㅋㅋ) are none."""
    return sum("가" <= character <= "힣" for character in composed(text))


def letters(text: str) -> int:
    """Number of characters apart from white space, as Korean forms count them (공백 제외 글자 수)."""
    return sum(not character.isspace() for character in composed(text))


def eojeols(text: str) -> list[str]:
    """The eojeol of a text, in order, with the punctuation that is written to them."""
    return [word for word in composed(text).split() if any(character.isalnum() for character in word)]


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, without markers of lists and headings.

    A line without a final mark (a heading, an item of a list) is a sentence if it holds a letter or a digit.
    """
    found: list[str] = []
    for line in composed(text).splitlines():
        line, start = _MARKER.sub("", line.strip(" *_>|")), 0
        for mark in _END.finditer(line):
            piece = line[start : mark.end()]
            if _ABBREVIATION.search(piece):
                continue
            found.append(piece.strip())
            start = mark.end()
        found.append(line[start:].strip())
    return [one for one in found if any(character.isalnum() for character in one)]


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text: what stands between empty lines."""
    return [part.strip() for part in re.split(r"\n\s*\n", composed(text)) if part.strip()]


def hangul_share(text: str) -> float | None:
    """Share of Hangul among the letters of the prose, 0 to 1; None for a text without letters."""
    found = [character for character in prose(text) if unicodedata.category(character)[0] == "L"]
    if not found:
        return None
    return sum("가" <= character <= "힣" or "\u3130" <= character <= "\u318f" for character in found) / len(found)


def foreign_words(text: str, allowed: Collection[str] = ()) -> list[str]:
    """Words in Latin letters, Chinese characters or kana in the prose: where a Korean text switches its language.

    Not counted are words of one letter, abbreviations in capitals (`GPU`), what stands in brackets as a gloss (번역투
    (translationese)), and what the question used itself.

    Args:
        allowed: words that are no switch, compared without regard to case.
    """
    known = {word.casefold() for word in allowed}
    plain = re.sub(r"\([^()\n]*\)", " ", prose(text))
    found = [word for word in _WORD.findall(plain) if not word.isupper()] + _HANJA_KANA.findall(plain)
    return [word for word in found if word.casefold() not in known]


def latin_words(text: str) -> list[str]:
    """Every word in Latin letters of two or more, and every run of Chinese characters or kana: for `allowed`."""
    return [*_WORD.findall(composed(text)), *_HANJA_KANA.findall(text)]
