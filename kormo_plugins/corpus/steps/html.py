"""HTML that an extractor left behind: entities, tags, scripts and comments, outside of code.

Code is left alone: what stands in fences or between backticks may be HTML on purpose. Only names of real HTML elements
count as tags, so that `Vec<T>` and `a < b` stay.
"""

from __future__ import annotations

import html as entities
import re

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.steps.text import FENCE
from kormo_plugins.documents.document import Document, Reject

_NAMES = (
    "a|abbr|article|aside|b|big|blockquote|body|br|button|center|cite|col|colgroup|dd|del|details|div|dl|dt|em|fieldset|"
    "figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|label|li|link|main|mark|meta|"
    "nav|noscript|ol|option|p|picture|pre|s|section|select|small|source|span|strike|strong|style|sub|summary|sup|svg|"
    "table|tbody|td|textarea|tfoot|th|thead|time|title|tr|u|ul|video|wbr|o:p|v:shape"
)
_TAG = re.compile(rf"</?(?:{_NAMES})(?:\s[^<>]{{0,2000}})?/?>", re.IGNORECASE)
_BREAK = re.compile(r"<(?:br|/p|/div|/li|/tr|/h[1-6])\s*/?>", re.IGNORECASE)
_OPENED = re.compile(r"<(?:(script|style|noscript)\b[^<>]{0,2000}>|!--)", re.IGNORECASE)
_CLOSED = {
    name: re.compile(rf"</{name}\s{{0,20}}>" if name else "-->", re.IGNORECASE)
    for name in ("", "script", "style", "noscript")
}
_DECLARED = re.compile(r"<!DOCTYPE[^<>]*>|<!\[CDATA\[|\]\]>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});")
_CODE = re.compile(rf"{FENCE.pattern}|(?<!`)(`++)[^\n]+?(?<!`)\2(?!`)", FENCE.flags)


class HtmlParams(Strict):
    """What is removed, and when too much is."""

    most_markup: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="a document of which more than this share is markup was never extracted (ours)",
    )


class Html:
    """Turns what is left of HTML into text."""

    VERSION = 2

    def __init__(self, params: HtmlParams) -> None:
        self.params = params

    def __call__(self, document: Document) -> Document | Reject:
        text = document.text
        if "<" not in text and "&" not in text:
            return document
        clean = strip_markup(text)
        if len(clean) < (1 - self.params.most_markup) * len(text):
            return Reject("mostly markup")
        document.text = clean
        return document if clean.strip() else Reject("nothing but markup")


def strip_markup(text: str) -> str:
    """`text` without tags, comments and scripts, its entities decoded; code in fences and backticks unchanged."""
    pieces, end = [], 0
    for code in _CODE.finditer(text) if "`" in text or "~~~" in text else ():
        pieces += [_strip(text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*pieces, _strip(text[end:])])


def _strip(text: str) -> str:
    if "<" in text:
        text = _DECLARED.sub("", _without_unseen(text))
        text = _TAG.sub("", _BREAK.sub("\n", text))
    return _ENTITY.sub(_decode, text) if "&" in text else text


def _without_unseen(text: str) -> str:
    """`text` without scripts, styles and comments, each from its opening to its own end; one that never ends stays.

    By hand, not with one pattern: where an end is missing, each further opening of its kind would search for it again
    to the end of the text.
    """
    pieces, at, endless = [], 0, set()
    while (opened := _OPENED.search(text, at)) is not None:
        name = (opened[1] or "").lower()
        closed = None if name in endless else _CLOSED[name].search(text, opened.end())
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
    return " " if char == "\xa0" else match[0] if char in "<>" else char  # `&lt;` is a sign that was meant to be read
