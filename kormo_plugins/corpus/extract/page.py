"""Renders a whole HTML page as text with lxml's parser: everything that a browser would show, line by line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kormo_plugins.corpus.extract.tags import BLOCKS, CELLS

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_PAGE = re.compile(
    r"\s*+(?:<\?xml[^>]{0,200}>\s*+)?(?:<!--.{0,500}?-->\s*+)?<(?:!doctype\s+html|html[\s>])", re.I | re.S
)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]{0,200}\?>", re.IGNORECASE)
_UNSEEN = frozenset(("script", "style", "noscript", "template", "head", "svg", "iframe", "object", "select"))
_BLANK = re.compile(r"\n{3,}")


def is_page(text: str) -> bool:
    """Whether `text` is an HTML document, as opposed to running text with inline tags."""
    return _PAGE.match(text[:2000]) is not None


def page_text(html: str) -> str:
    """The visible text of a page: title and body, block elements on their own lines, table cells separated."""
    from lxml import etree
    from lxml.html import HTMLParser, document_fromstring

    parser = HTMLParser(remove_comments=True, remove_pis=True, huge_tree=True, no_network=True)
    try:
        root = document_fromstring(_DECLARATION.sub("", html.replace("\0", "")), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):  # empty document
        return ""
    pieces: list[str] = []
    _walk(root, pieces)
    lines = (" ".join(line.split()) if not line.startswith("\0") else line[1:] for line in "".join(pieces).split("\n"))
    return _BLANK.sub("\n\n", "\n".join(lines)).strip()


def _walk(root: HtmlElement, pieces: list[str]) -> None:
    """Appends the text of a tree to `pieces`. Iterative: broken pages can nest 100,000 levels deep."""
    from lxml.etree import iterwalk

    inside = unseen = 0
    for event, element in iterwalk(root, events=("start", "end")):
        name = element.tag if isinstance(element.tag, str) else ""
        begins = event == "start"
        inside += (begins or -1) if name == "pre" else 0
        unseen += (begins or -1) if name in _UNSEEN else 0
        if not unseen and name in BLOCKS:
            pieces.append("\n\0" if begins and name == "pre" else "\n" if begins or name != "br" else "")
        elif not unseen and name in CELLS:
            pieces.append(" ")
        text = element.text if begins else element.tail
        if text and not unseen:
            # Lines of preformatted text are marked so that their spaces are kept.
            pieces.append(text.replace("\n", "\n\0") if inside else " ".join(re.split(r"\s+", text)))
