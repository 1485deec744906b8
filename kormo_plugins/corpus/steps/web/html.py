"""Removes leftover HTML from extracted text: entities, tags, scripts and comments, outside of code.

In running text only unambiguous markup is removed. A `<` begins a tag if the name of an HTML element follows, its
attributes are HTML attributes, and the name cannot be a variable or a placeholder: `a<b 이고 c>d`, `Vec<T>`,
`cp <source file> <dest>` are kept. Block elements, table cells and line breaks leave a line break or a space, so that
words stay separate. Code in fences or between backticks may contain HTML on purpose and is left unchanged.

A whole page is parsed with lxml instead; for crawled pages the step `extract` also removes boilerplate.
"""

from __future__ import annotations

import html as entities
import re
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kormo_plugins.corpus.extract.page import is_page, page_text
from kormo_plugins.corpus.extract.tags import ELEMENTS, strip_tags
from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.scan.text_scan import compiled, scan_of
from kormo_plugins.corpus.steps.characters.normalize import visible
from kormo_plugins.corpus.steps.heuristics.text import FENCE
from kormo_plugins.documents.document import Document, Reject

if TYPE_CHECKING:
    import numpy as np

_OPENED = re.compile(r"<(?:(script|style|noscript)\b[^<>]{0,2000}>|!--)", re.IGNORECASE)
_CLOSED = {
    name: re.compile(rf"</{name}\s{{0,20}}>" if name else "-->", re.IGNORECASE)
    for name in ("", "script", "style", "noscript")
}
_DECLARED = re.compile(r"<!DOCTYPE[^<>]*>|<!\[CDATA\[|\]\]>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});")
_CODE = re.compile(rf"{FENCE.pattern}|(?<!`)(`++)[^\n]+?(?<!`)\2(?!`)", FENCE.flags)


class HtmlParams(Strict):
    """What is removed, and how much is too much."""

    RENAMED: ClassVar = {"most_markup": "max_markup"}

    max_markup: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="maximum share of markup in running text; above it the document was never extracted and is "
        "dropped (ours). A whole page is parsed, whatever its share",
    )


class Html:
    """Removes leftover HTML."""

    VERSION = 3

    def __init__(self, params: HtmlParams) -> None:
        self.params = params

    def __call__(self, document: Document) -> Document | Reject:
        text = document.text
        if "<" not in text and "&" not in text:
            return document
        pieces = suspect_pieces(text) if compiled(text) else None
        if pieces == []:
            return document
        page = is_page(text)
        clean = page_text(text) if page else strip_markup(text, pieces)
        if not page and len(clean) < (1 - self.params.max_markup) * len(text):
            return Reject("mostly markup")
        document.text = clean
        return document if clean.strip() else Reject("nothing but markup")


def strip_markup(text: str, suspect: list[list[int]] | None = None) -> str:
    """`text` without tags, comments and scripts, with entities decoded; code in fences and backticks is unchanged.

    Args:
        suspect: start and end of the ranges between code that may contain markup, in order; None: they are computed.
    """
    pieces, end = [], 0
    for start, stop in suspect or ():
        pieces += [text[end:start], _strip(text[start:stop])]
        end = stop
    if suspect is not None:
        return "".join([*pieces, text[end:]])
    for code in _CODE.finditer(text) if "`" in text or "~~~" in text else ():
        pieces += [_strip(text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*pieces, _strip(text[end:])])


@lru_cache(maxsize=1)
def _names() -> np.ndarray:
    from kormo_plugins.corpus.scan.kernels.markup_kernel import names_table

    return names_table(ELEMENTS, (name for name in _CLOSED if name))


def suspect_pieces(text: str) -> list[list[int]]:
    """Start and end of the ranges between code that may contain markup, in order, by the compiled scan."""
    from kormo_plugins.corpus.scan.kernels.markup_kernel import markup

    pieces: list[list[int]] = markup(scan_of(text).codes, _names()).tolist()
    return pieces


def _strip(text: str) -> str:
    if "<" in text:
        text = _without_unseen(text)
        text = strip_tags(_DECLARED.sub("", text) if "<!" in text or "]]>" in text else text)
    return _ENTITY.sub(_decode, text) if "&" in text else text


def _without_unseen(text: str) -> str:
    """`text` without scripts, styles and comments, each from its start to its own end; an unclosed one is kept.

    Iterative instead of a single pattern: without a closing tag, a pattern would search to the end of the text once for
    every opening tag.
    """
    pieces, at, endless = [], 0, set()
    while (opened := _OPENED.search(text, at)) is not None:
        name = (opened[1] or "").lower()
        closed = None if name in endless or name not in _CLOSED else _CLOSED[name].search(text, opened.end())
        end = opened.end()
        if closed is None:
            endless.add(name)
            pieces.append(text[at:end])
        else:
            end = closed.end()
            pieces.append(text[at : opened.start()])
        at = end
    return "".join([*pieces, text[at:]])


def _decode(match: re.Match[str]) -> str:
    char = entities.unescape(match[0])
    return match[0] if char in "<>" else visible(char)  # `&lt;` is meant literally
