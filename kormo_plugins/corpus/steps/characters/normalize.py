"""Normalizes text: Unicode composition, line ends, control and invisible characters, white space.

This matters especially for Korean: files from macOS use decomposed Hangul (two or three code points per syllable),
which looks the same, compares unequal and needs three times the tokens. Compatibility forms (NFKC) are not folded: that
would rewrite `①`, `㎏` and mathematics.

Every invisible character is handled the same way regardless of context, except as noted (`FATES`, docs/cleaning.md):

    line    CR, CRLF, VT, FF, FS, GS, RS, NEL, U+2028                       one line feed
    blank   U+2029 (paragraph separator)                                     two line feeds
    space   US, NBSP, en, em, thin, narrow, ideographic and other spaces, Hangul fillers      one space
    gone    other controls, soft hyphen, zero-width space, word joiner, BOM, bidirectional marks and overrides,
            invisible operators, interlinear marks, deprecated format characters
    kept    tab, line feed; zero-width joiner and non-joiner and variation selectors after a visible character;
            tags after a black flag (the flags of England, Scotland, Wales)
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Literal, cast

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.scan import bits
from kormo_plugins.corpus.scan.alphabets import GONE, JOINERS, LINES, ODD, PARAGRAPH, SPACES, TAGS
from kormo_plugins.corpus.scan.text_scan import (
    character_bits,
    compiled,
    has_trailing,
    is_composed,
    may_hold,
    scan_of,
)
from kormo_plugins.documents.document import Document, Reject

FATES: dict[str, str] = {"\n": LINES, "\n\n": PARAGRAPH, " ": SPACES, "": GONE}
"""Replacement -> the characters it replaces (bodies of regular-expression classes)."""

# As text: `re` compiles them at the first document that needs them, and keeps them.
_ODD = f"[{ODD}]"
_LINE_END = f"\r\n|[{LINES}]"
_SPACE = f"[{SPACES}]"
# A joiner or a selector modifies the preceding character; without one, it is left over. Tags after a black flag, up to
# the cancel tag, name a region; anywhere else they are invisible, and have been used to hide text.
_GONE = (
    f"[{GONE}]|(?:(?<=[\\s])|^)[{JOINERS}]+|(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{{1,6}}\U000e007f)"
    f"|[{TAGS}]"
)
_SHAPES = f"[{JOINERS}{TAGS}]"
"""Characters that are kept or removed depending on the preceding character."""
_RUN_OF_SPACES = r"(?<=\S) {2,}(?=\S)"
_Form = Literal["NFC", "NFKC"]


class NormalizeParams(Strict):
    """What is normalized."""

    form: str = Field(
        default="NFC",
        pattern="^(NFC|NFKC|none)$",
        description="Unicode normalization form (UAX 15), or none; NFC is the web's (W3C charmod-norm)",
    )
    blank_lines: int = Field(
        default=2, ge=0, le=2, description="maximum number of consecutive empty lines; longer runs are shortened (ours)"
    )
    collapse_spaces: bool = Field(
        default=False,
        description="replace runs of spaces inside a line by one space; breaks tables and aligned code, so it is "
        "off by default",
    )


class Normalize:
    """Normalizes every document; rejects a document that becomes empty."""

    VERSION = 2

    def __init__(self, params: NormalizeParams) -> None:
        self.params = params

    def __call__(self, document: Document) -> Document | Reject:
        text = normalize(document.text, self.params)
        if not text:
            return Reject("nothing but white space")
        document.text = text
        return document


def normalize(text: str, params: NormalizeParams) -> str:
    """The normal form of `text`; idempotent."""
    if not is_composed(text, params.form):
        text = _composed(text, params.form)
        if may_hold(text, bits.ODD) and re.search(_ODD, text):  # one search for all
            text = _composed(_visible(text), params.form)  # removing a character may have joined two that compose
    if has_trailing(text):
        text = _without_trailing(text)
    kept = "\n" * (params.blank_lines + 1)
    if kept + "\n" in text:
        text = re.sub(kept + "\n+", kept, text)
    if params.collapse_spaces:
        text = re.sub(_RUN_OF_SPACES, " ", text)
    return text.strip("\n").rstrip()


def _without_trailing(text: str) -> str:
    """Removes blanks before line ends from `text`; those after the last line end may stay."""
    if not compiled(text):
        return "\n".join([line.rstrip(" \t") for line in text.split("\n")])
    codes, pieces, at = scan_of(text).codes, [], 0
    ends = (codes[1:] == 10).nonzero()[0] + 1
    before = codes[ends - 1]
    for end in ends[(before == 32) | (before == 9)].tolist():  # few lines have any
        begin = end - 1
        while begin > at and text[begin - 1] in " \t":
            begin -= 1
        pieces.append(text[at:begin])
        at = end
    return "".join([*pieces, text[at:]])


def visible(text: str) -> str:
    """Applies `FATES` to every invisible character of `text`; idempotent."""
    text = re.sub(_SPACE, " ", re.sub(_LINE_END, "\n", text.replace(PARAGRAPH, "\n\n")))
    while (clean := re.sub(_GONE, lambda match: match[1] or "", text)) != text:  # removal may have exposed a joiner
        text = clean
    return text


@lru_cache(maxsize=1)
def _fates() -> dict[str, str]:
    """Character -> its replacement; characters that are not listed are removed."""
    plane = "".join(map(chr, range(0x10000)))
    return {char: fate for fate, body in FATES.items() if fate for char in re.findall(f"[{body}]", plane)}


def _visible(text: str) -> str:
    """As `visible`, using compiled scans to find the characters: the patterns would search the text four times."""
    if not compiled(text):
        return visible(text)
    places = (character_bits()[scan_of(text).codes] & bits.ODD).nonzero()[0].tolist()
    if re.search(_SHAPES, "".join([text[place] for place in places])):
        return visible(text)
    pieces, at, fates = [], 0, _fates()
    for place in places:
        joined = text[place] == "\r" and text[place + 1 : place + 2] in ("\n", PARAGRAPH)  # a single line end
        pieces += [text[at:place], "" if joined else fates.get(text[place], "")]
        at = place + 1
    return "".join([*pieces, text[at:]])


def _composed(text: str, form: str) -> str:
    if form == "none" or unicodedata.is_normalized(cast(_Form, form), text):
        return text
    return unicodedata.normalize(cast(_Form, form), text)
