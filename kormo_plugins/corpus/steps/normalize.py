"""One form for one text: Unicode composition, line ends, control and invisible characters, white space.

Korean needs this more than most languages: files from macOS carry decomposed Hangul (each syllable as two or three
code points), which looks the same, compares unequal and costs a tokenizer three times the tokens. Compatibility
forms (NFKC) are not folded: they would rewrite `①`, `㎏` and mathematics.
"""

from __future__ import annotations

import re
import unicodedata

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.documents.document import Document, Reject

# C0 and C1 controls but tab and line feed; soft hyphen, zero-width space, word joiner, invisible operators, BOM,
# interlinear marks, tags, bidirectional overrides. Zero-width (non-)joiners shape Indic and emoji text: they stay.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u2060-\u2064\ufeff\ufff9-\ufffb\u202a-\u202e\u2066-\u2069\U000e0001-\U000e007f]"
)
_LINE_END = re.compile("\r\n?|[\x85\u2028\u2029]")
_ODD_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_ODD = re.compile(f"{_INVISIBLE.pattern[:-1]}{_ODD_SPACE.pattern[1:-1]}\u2028\u2029]")
_TRAILING = re.compile(r"[ \t]+(?=\n|$)")
_SPACES = re.compile(r"(?<=\S) {2,}(?=\S)")


class NormalizeParams(Strict):
    """What is made uniform."""

    form: str = Field(
        default="NFC",
        pattern="^(NFC|NFKC|none)$",
        description="Unicode normalization form (UAX 15), or none; NFC is the web's (W3C charmod-norm)",
    )
    blank_lines: int = Field(default=2, ge=0, le=2, description="longest run of empty lines that is kept (ours)")
    collapse_spaces: bool = Field(
        default=False,
        description="one space for a run inside a line; breaks tables and aligned code, so off by default",
    )


class Normalize:
    """Returns every document in normal form; one of which nothing is left is rejected."""

    VERSION = 1

    def __init__(self, params: NormalizeParams) -> None:
        self.params = params

    def __call__(self, document: Document) -> Document | Reject:
        text = normalize(document.text, self.params)
        if not text:
            return Reject("nothing but white space")
        document.text = text
        return document


def normalize(text: str, params: NormalizeParams) -> str:
    """The normal form of `text`; applying it twice changes nothing."""
    if params.form != "none" and not unicodedata.is_normalized(params.form, text):  # type: ignore[arg-type]
        text = unicodedata.normalize(params.form, text)  # type: ignore[arg-type]
    if _ODD.search(text):  # one look for all three
        text = _INVISIBLE.sub("", _LINE_END.sub("\n", _ODD_SPACE.sub(" ", text)))
        if params.form != "none" and not unicodedata.is_normalized(params.form, text):  # type: ignore[arg-type]
            text = unicodedata.normalize(params.form, text)  # type: ignore[arg-type]  # what was removed parted two
    if " \n" in text or "\t\n" in text:
        text = _TRAILING.sub("", text)
    kept = "\n" * (params.blank_lines + 1)
    if kept + "\n" in text:
        text = re.sub(kept + "\n+", kept, text)
    if params.collapse_spaces:
        text = _SPACES.sub(" ", text)
    return text.strip("\n").rstrip()
