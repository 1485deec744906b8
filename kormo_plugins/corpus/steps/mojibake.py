"""Mojibake: text decoded with the wrong table. Repaired where the bytes can be had back, else the document is dropped.

Three accidents make nearly all of it in Korean text:

    UTF-8 read as Latin-1 or cp1252    안녕 → ì•ˆë…•        runs that are valid UTF-8 once encoded back
    EUC-KR read as Latin-1             안녕 → ¾È³ç          runs of byte pairs that are syllables of KS X 1001
    UTF-8 read as EUC-KR (cp949)       안녕 → �븞�뀞         syllables outside KS X 1001, replacement characters

The third loses bytes, so it is recognised, not repaired. KS X 1001 holds the 2,350 syllables that Korean is written
with; the 8,822 others together make less than one in a thousand.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar

import numpy as np
from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.documents.document import Document, Reject

_CP1252 = {bytes([b]).decode("cp1252"): b for b in range(0x80, 0xA0) if b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}
_BYTE = {ord(char): byte for char, byte in _CP1252.items()} | {code: code for code in range(0x80, 0x100)}
_SUSPECT = "[\x80-\xff" + "".join(re.escape(char) for char in _CP1252) + "]"
_RUN = re.compile(_SUSPECT + "{2,}")
_LATIN = re.compile("[\x80-\xff]")
FEWEST = 8
"""Signs in such runs that may be an accident."""
LOST = "\ufffd"


class MojibakeParams(Strict):
    """When a document counts as damaged."""

    RENAMED: ClassVar = {"most_lost": "max_lost", "most_latin": "max_latin", "most_rare": "max_rare"}

    repair: bool = Field(default=True, description="put right what can be put right exactly")
    max_lost: float = Field(
        default=0.002,
        ge=0,
        le=1,
        description="replacement characters (U+FFFD) per character; ours: clean pages of "
        "the web have none, a wrong table has one in three",
    )
    allowed_lost: int = Field(
        default=2,
        ge=0,
        description="so many never drop a document, however short (ours): a form or a copy that lost "
        "one letter; a wrong table loses many",
    )
    max_latin: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="share of the non-ASCII characters that stand in runs of three or more "
        "Latin-1 signs (ours; accented letters of other languages seldom stand together)",
    )
    max_rare: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="share of Hangul syllables outside KS X 1001 (ours; Korean prose "
        "and technical pages stay far below)",
    )


class Mojibake:
    """Repairs documents, and drops those that stay damaged."""

    VERSION = 2

    def __init__(self, params: MojibakeParams) -> None:
        self.params = params

    def __call__(self, document: Document) -> Document | Reject:
        text = document.text
        if text.isascii():
            return document
        if self.params.repair:
            text = repair(text)
        if text.count(LOST) > max(self.params.allowed_lost, self.params.max_lost * len(text)):
            return Reject("replacement characters")
        runs = sum(len(run) for run in _RUN.findall(text) if len(run) > 2 and _LATIN.search(run))
        if runs > FEWEST and runs > self.params.max_latin * (len(text) - len(text.encode("ascii", "ignore"))):
            return Reject("mojibake (Latin-1)")
        if _rare_share(text) > self.params.max_rare:
            return Reject("mojibake (rare syllables)")
        document.text = text
        return document


def repair(text: str) -> str:
    """`text` with every run of wrongly decoded bytes that decodes exactly put right."""
    return _RUN.sub(_mend, text) if _RUN.search(text) else text


def _mend(match: re.Match[str]) -> str:
    run = match[0]
    raw = bytes(_BYTE[ord(char)] for char in run)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        mended = raw.decode("euc_kr")
    except UnicodeDecodeError:
        return run
    # An even run of accented letters is EUC-KR only if it gives Hangul, and all of it.
    return mended if all("가" <= char <= "힣" for char in mended) else run


@lru_cache(maxsize=1)
def _common() -> np.ndarray:
    """Which of the 11,172 syllables KS X 1001 has."""
    return np.array([_encodes(chr(code)) for code in range(0xAC00, 0xD7A4)])


def _encodes(char: str) -> bool:
    try:
        char.encode("euc_kr")
    except UnicodeEncodeError:
        return False
    return True


def _rare_share(text: str) -> float:
    codes = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype=np.uint16)
    syllables = codes[(codes >= 0xAC00) & (codes <= 0xD7A3)]
    return float(1 - _common()[syllables - 0xAC00].mean()) if len(syllables) else 0.0
