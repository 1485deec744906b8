"""What makes one generator write unlike another: speech level, layout, marks, lists, and a share of the lexicon.

A style's number picks one of three profiles (number mod 3) and, independently, one of five shares of every word and
phrase list (number mod 5): styles 0 to 14 all differ.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """How documents look.

    Args:
        registers: speech levels of narrative prose, drawn per document.
        title: pattern around a title; empty: documents have none.
        step: pattern of a numbered step (`n`, `text`).
        bullet: before each item of a list.
        question, answer: marks before questions and answers, Korean then English.
        paragraph: sentences per paragraph, least and most.
        bilingual: how the two languages of a bilingual document are laid out.
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
    Style(("plain",), "{}", "{n}. {text}", "- ", ("질문: ", "Q: "), ("답: ", "A: "), (3, 6), ("blocks", "halves")),
    Style(("haeyo", "hae"), "# {}", "{n}) {text}", "* ", ("**물음** ", "**Question** "), ("**대답** ", "**Answer** "),
          (2, 4), ("sentences", "blocks")),
    Style(("hapsyo", "plain"), "", "[{n}] {text}", "· ", ("Q. ", "Q. "), ("A. ", "A. "), (5, 9), ("halves", "sentences")),
)  # fmt: skip


def style(number: int) -> Style:
    """The profile of a style's number."""
    return PROFILES[number % len(PROFILES)]
