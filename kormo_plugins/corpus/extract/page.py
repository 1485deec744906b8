"""A whole HTML page as text, by lxml's parser: everything that a browser would show, in its lines."""

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
    """Whether `text` is an HTML document, not running text with tags in it."""
    return _PAGE.match(text[:2000]) is not None


def page_text(html: str) -> str:
    """What a browser shows of a page: title and body, block elements on lines of their own, cells apart."""
    from lxml import etree
    from lxml.html import HTMLParser, document_fromstring

    parser = HTMLParser(remove_comments=True, remove_pis=True, huge_tree=True, no_network=True)
    try:
        root = document_fromstring(_DECLARATION.sub("", html.replace("\0", "")), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):  # nothing in it
        return ""
    pieces: list[str] = []
    _walk(root, pieces)
    lines = (" ".join(line.split()) if not line.startswith("\0") else line[1:] for line in "".join(pieces).split("\n"))
    return _BLANK.sub("\n\n", "\n".join(lines)).strip()


def _walk(root: HtmlElement, pieces: list[str]) -> None:
    """Without recursion: broken pages nest a hundred thousand deep."""
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
            # A line of preformatted text is marked, so that its spaces stay.
            pieces.append(text.replace("\n", "\n\0") if inside else " ".join(re.split(r"\s+", text)))
