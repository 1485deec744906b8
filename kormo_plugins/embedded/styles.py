"""Styles that make generators differ: speech level, layout, marks, lists, and a share of the lexicon.

A style's number selects one of three profiles (number mod 3) and, independently, one of five shares of every word and
phrase list (number mod 5): styles 0 to 14 all differ.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """The layout of documents.

    Args:
        registers: speech levels of narrative prose, drawn per document.
        title: pattern for a title; empty: documents have none.
        step: pattern for a numbered step (`n`, `text`).
        bullet: prefix of a list item.
        question, answer: prefixes of questions and answers, Korean then English.
        paragraph: minimum and maximum sentences per paragraph.
        bilingual: layout of the two languages in a bilingual document.
    """

    registers: tuple[str, ...]
    title: str
    step: str
    bullet: str
    question: tuple[str, str]
    answer: tuple[str, str]
    paragraph: tuple[int, int]
    bilingual: tuple[str, ...]


PROFILES = (
    Style(
        registers=("plain",),
        title="{}",
        step="{n}. {text}",
        bullet="- ",
        question=("질문: ", "Q: "),
        answer=("답: ", "A: "),
        paragraph=(3, 6),
        bilingual=("blocks", "halves"),
    ),
    Style(
        registers=("haeyo", "hae"),
        title="# {}",
        step="{n}) {text}",
        bullet="* ",
        question=("**물음** ", "**Question** "),
        answer=("**대답** ", "**Answer** "),
        paragraph=(2, 4),
        bilingual=("sentences", "blocks"),
    ),
    Style(
        registers=("hapsyo", "plain"),
        title="",
        step="[{n}] {text}",
        bullet="· ",
        question=("Q. ", "Q. "),
        answer=("A. ", "A. "),
        paragraph=(5, 9),
        bilingual=("halves", "sentences"),
    ),
)


def style(number: int) -> Style:
    """The profile for a style's number."""
    return PROFILES[number % len(PROFILES)]
