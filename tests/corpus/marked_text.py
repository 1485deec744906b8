"""Texts marked by hand (`marked/`): where personal data stands, and documents of many genres."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from html import unescape
from pathlib import Path

FOLDER = Path(__file__).parent / "marked"
_MARK = re.compile(r"\{\{(\w+):(.*?)\}\}")


@dataclass(frozen=True)
class MarkedLine:
    """A line without its marks, and (start, end, kind) of each piece of personal data in it."""

    text: str
    marks: tuple[tuple[int, int, str], ...]


def marked_lines(name: str) -> list[MarkedLine]:
    """The lines of a file of `{{kind:value}}` marks; those that begin with `;;` are headings."""
    return [_unmarked(line) for line in (FOLDER / name).read_text("utf-8").splitlines() if not line.startswith(";;")]


def _unmarked(line: str) -> MarkedLine:
    text, marks, at = "", [], 0
    for match in _MARK.finditer(line):
        text += line[at : match.start()]
        marks.append((len(text), len(text) + len(match[2]), match[1]))
        text += match[2]
        at = match.end()
    return MarkedLine(text + line[at:], tuple(marks))


def genre_documents() -> dict[str, str]:
    """Name -> document of a genre."""
    pieces = re.split(r"^=== (.*)\n", (FOLDER / "genres.txt").read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {name: text.strip("\n") for name, text in zip(pieces[::2], pieces[1::2], strict=True)}


@dataclass(frozen=True)
class MarkedPage:
    """A web page: its genre, its HTML without the marks, and the text that an extractor should keep."""

    genre: str
    html: str
    wanted: str


def marked_pages() -> list[MarkedPage]:
    """The pages, in order."""
    pieces = re.split(r"^=== (\w+) \d+\n", (FOLDER / "pages.txt").read_text("utf-8"), flags=re.MULTILINE)[1:]
    return [
        MarkedPage(
            genre,
            html.replace("⟦", "").replace("⟧", ""),
            "\n".join(_unescaped(piece) for piece in re.findall("⟦(.*?)⟧", html, re.DOTALL)),
        )
        for genre, html in zip(pieces[::2], pieces[1::2], strict=True)
    ]


def _unescaped(html: str) -> str:
    return unescape(re.sub(r"</?[a-z][^<>]*>", " ", html))


def kept_words(text: str, wanted: str) -> tuple[float, float, float]:
    """Precision, recall and F1 of the words of `text` against those of `wanted`, counted as often as they come."""
    found, right = (Counter(re.findall(r"\w+", side)) for side in (text, wanted))
    common = sum((found & right).values())
    precision, recall = common / max(1, sum(found.values())), common / max(1, sum(right.values()))
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)
