"""Removes inline tags from running text: decides which `<` begins a tag, and what replaces it.

Elements, attributes and tag grammar follow the HTML standard (WHATWG, sections 3.2.6, 4 and 13.1.2). The rules for
names that are also words or variables are ours.
"""

from __future__ import annotations

import re

_BLOCK_NAMES = (
    "address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li main menu nav noscript "
    "ol optgroup option p pre section select summary table tbody tfoot thead title tr ul"
)
BLOCKS = frozenset(_BLOCK_NAMES.split())
"""Block elements: they break lines."""
CELLS = frozenset(("td", "th"))
_INLINE = (
    "a abbr acronym area audio b base bdi bdo big button canvas cite code col colgroup data datalist del dfn em embed "
    "font i iframe img input ins kbd label link map mark meta meter noframes nobr object output param picture progress "
    "q rp rt ruby s samp script small source span strike strong style sub sup svg template textarea time track tt u "
    "var video wbr path"
)
ELEMENTS = BLOCKS | CELLS | frozenset(_INLINE.split())
_WORD_NAMES = (
    "a b i p q s u address area article aside audio base body button canvas caption center cite code col data details "
    "dialog dir embed figure font footer form frameset head header input label legend link main map mark menu meta "
    "meter object option output param path picture progress section select small source style summary table template "
    "time title track var video big em"
)
_WORDS = frozenset(_WORD_NAMES.split())
"""Elements whose names are also words or formula variables: treated as `<file>`-like placeholders unless they have an
attribute or an end tag."""
_BOOLEAN = (
    "allowfullscreen async autofocus autoplay checked compact controls default defer disabled formnovalidate hidden "
    "inert ismap itemscope loop multiple muted nomodule noshade novalidate nowrap open readonly required reversed "
    "selected"
)
_VALUED = (
    "abbr accept action align alink alt autocomplete background bgcolor border cellpadding cellspacing charset cite "
    "class clear code codebase color cols colspan content contenteditable coords data datetime dir draggable enctype "
    "face for frame frameborder headers height href hreflang hspace http-equiv id itemid itemprop itemtype kind label "
    "lang language leftmargin link list longdesc marginheight marginwidth max maxlength media method min name "
    "pattern placeholder poster preload property rel rev role rows rowspan rules scope scrolling shape size sizes span "
    "spellcheck src srcdoc srcset start step style summary tabindex target text title topmargin translate type "
    "usemap valign value vlink vspace width wrap"
)
_SPACE = r"[ \t\n\r\f\u3000\u00a0]"
_QUOTED = r"(?:\"[^\"]{0,2000}+\"|'[^']{0,2000}+')"
_PREFIXED = r"(?:data-|aria-|on|v-|xml|x-|ng-|@|:)[\w:.-]{1,40}"
_ATTRIBUTE = (
    rf"(?:[A-Za-z_@:][\w:.@-]{{0,40}}+{_SPACE}*+={_SPACE}*+{_QUOTED}"
    rf"|(?:{'|'.join(_VALUED.split())}|{_PREFIXED}){_SPACE}*+={_SPACE}*+[^\s\"'<>=`]{{1,500}}+"
    rf"|(?:{'|'.join(_BOOLEAN.split())}|(?:data-|aria-)[\w-]{{1,40}})(?=[\s/>]))"
)
_REST = re.compile(rf"((?:(?:{_SPACE}|/(?!>))++{_ATTRIBUTE})*+){_SPACE}*+(/?)>", re.IGNORECASE)
_START = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,20}+(?:[:-][\w:.-]{1,40}+)?)")
_OPERAND = re.compile(r"[A-Za-z0-9_)\]]")
LONGEST = 4000
"""Maximum length of a tag in characters."""


def strip_tags(text: str) -> str:
    """Removes tags from `text`; leaves a line break or a space where the element implies one.

    A `<` that does not begin an HTML tag is kept, with everything after it.
    """
    starts = list(_START.finditer(text))
    ended = {start[2].lower() for start in starts if start[1]}
    if "select" in ended:
        ended.add("option")  # end tag is optional
    out = _Lines()
    at = 0
    for start in starts:
        if start.start() < at:
            continue
        rest = _REST.match(text, start.end(), start.end() + LONGEST)
        if rest is None or not _is_tag(start, rest, ended):
            continue
        out.add(text[at : start.start()])
        out.part(start[2].lower())
        at = rest.end()
    out.add(text[at:])
    return "".join(out.pieces)


def _is_tag(start: re.Match[str], rest: re.Match[str], ended: set[str]) -> bool:
    """Whether a tag-shaped match is a tag."""
    name = start[2].lower()
    if rest[1]:  # attributes
        return name in ELEMENTS or ":" in name or "-" in name
    if start[1] or name in ended:  # `</b>`, or a `<b>` with one
        return name in ELEMENTS or ":" in name or "-" in name
    if name == "p":  # often left open in old pages; after an operand it is a variable
        return not (start.start() and _OPERAND.match(start.string, start.start() - 1))
    return name in ELEMENTS and (name not in _WORDS or bool(rest[2]))


class _Lines:
    """Joins text pieces with the separators implied by the elements between them."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.gap = ""

    def part(self, name: str) -> None:
        """Registers the start or end of an element."""
        if name == "br":
            self._close_gap("")
            self.pieces.append("\n")
        elif name in BLOCKS:
            self.gap = self.gap if self.gap == "\n\n" else "\n"
        elif name in CELLS:
            self.gap = self.gap or " "

    def add(self, text: str) -> None:
        """Appends text."""
        if self.gap and not text.strip():  # whitespace from the markup's layout; a blank line separates paragraphs
            self.gap = "\n\n" if text.count("\n") > 1 else self.gap
            return
        if not text:
            return
        self._close_gap(text)
        self.pieces.append(text)

    def _close_gap(self, following: str) -> None:
        before = self.pieces[-1] if self.pieces else "\n"
        there = " \t\n" if self.gap == " " else "\n"
        if self.gap and before[-1] not in there and following[:1] not in tuple(there):
            self.pieces.append(self.gap)
        self.gap = ""
