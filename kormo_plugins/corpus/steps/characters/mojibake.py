"""Mojibake: text decoded with the wrong encoding. Repaired if the bytes can be recovered, else the document is dropped.

Three errors cause nearly all of it in Korean text:

    UTF-8 read as Latin-1 or cp1252    안녕 → ì•ˆë…•        runs that are valid UTF-8 once encoded back
    EUC-KR read as Latin-1             안녕 → ¾È³ç          runs of byte pairs that are syllables of KS X 1001
    UTF-8 read as EUC-KR (cp949)       안녕 → �븞�뀞         syllables outside KS X 1001, replacement characters

The third loses bytes, so it is detected but not repaired. KS X 1001 holds the 2,350 syllables that Korean uses; the
other 8,822 together make up less than one in a thousand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.scan.alphabets import CP1252, SUSPECT
from kormo_plugins.corpus.scan.text_scan import compiled, in_ks_x_1001, scan_of
from kormo_plugins.documents.document import Document, Reject

if TYPE_CHECKING:
    import numpy as np

_BYTE = {ord(char): byte for char, byte in CP1252.items()} | {code: code for code in range(0x80, 0x100)}
_RUN = re.compile(f"[{SUSPECT}]{{2,}}")
_LATIN = re.compile("[\x80-\xff]")
FEWEST = 8
"""Minimum number of characters in a suspicious run."""
LOST = "\ufffd"


class MojibakeParams(Strict):
    """When a document counts as damaged."""

    RENAMED: ClassVar = {"most_lost": "max_lost", "most_latin": "max_latin", "most_rare": "max_rare"}

    repair: bool = Field(default=True, description="repair the text where the original bytes can be recovered exactly")
    max_lost: float = Field(
        default=0.002,
        ge=0,
        le=1,
        description="maximum replacement characters (U+FFFD) per character (ours: clean web pages have none, text "
        "decoded with the wrong table has one in three)",
    )
    allowed_lost: int = Field(
        default=2,
        ge=0,
        description="number of replacement characters that a document of any length may have (ours): a form or copy "
        "may have lost single letters; a wrong table loses many",
    )
    max_latin: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="maximum share of the non-ASCII characters in runs of three or more that contain a Latin-1 "
        "character (ours; accented letters of other languages rarely stand together)",
    )
    max_rare: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="maximum share of Hangul syllables outside KS X 1001 (ours; Korean prose and technical pages "
        "stay far below)",
    )


class Mojibake:
    """Repairs documents, and drops those that remain damaged."""

    VERSION = 3

    def __init__(self, params: MojibakeParams) -> None:
        self.params = params

    def __call__(self, document: Document) -> Document | Reject:
        text = document.text
        if text.isascii():
            return document
        facts = _compiled(text) if compiled(text) else None
        if self.params.repair and (facts is None or facts.longest_run > 1):
            text = repair(text)
        if text is not document.text or facts is None:
            facts = _compiled(text) if compiled(text) else _by_patterns(text)
        if facts.lost > max(self.params.allowed_lost, self.params.max_lost * len(text)):
            return Reject("replacement characters")
        if facts.in_runs > FEWEST and facts.in_runs > self.params.max_latin * facts.beyond_ascii:
            return Reject("mojibake (Latin-1)")
        if facts.rare > self.params.max_rare:
            return Reject("mojibake (rare syllables)")
        document.text = text
        return document


def repair(text: str) -> str:
    """Repairs every run of wrongly decoded bytes in `text` that decodes exactly."""
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
    # An even run of accented letters is EUC-KR only if all of it decodes to Hangul.
    return mended if all("가" <= char <= "힣" for char in mended) else run


@dataclass(frozen=True, slots=True)
class _Facts:
    """Measures of damage in a text.

    Args:
        longest_run: characters in the longest suspicious run; not set by the patterns.
        lost: replacement characters.
        in_runs: characters in runs of three or more with a Latin-1 character.
        beyond_ascii: characters that are not ASCII.
        rare: share of the Hangul syllables that KS X 1001 lacks.
    """

    longest_run: int
    lost: int
    in_runs: int
    beyond_ascii: int
    rare: float


def _compiled(text: str) -> _Facts:
    from kormo_plugins.corpus.scan.kernels.survey_kernel import (
        ASCII,
        LOST,
        MOJIBAKE,
        RARE_SYLLABLES,
        SUSPECT_RUN,
        SYLLABLES,
    )

    counts = scan_of(text).survey
    syllables = counts[SYLLABLES]
    rare = float(1 - (syllables - counts[RARE_SYLLABLES]) / syllables) if syllables else 0.0
    return _Facts(counts[SUSPECT_RUN], counts[LOST], counts[MOJIBAKE], len(text) - counts[ASCII], rare)


def _by_patterns(text: str) -> _Facts:
    """The reference implementation, which the compiled scan must match."""
    runs = sum(len(run) for run in _RUN.findall(text) if len(run) > 2 and _LATIN.search(run))
    beyond = len(text) - len(text.encode("ascii", "ignore"))
    return _Facts(0, text.count(LOST), runs, beyond, _rare_share(text))


@lru_cache(maxsize=1)
def _common() -> np.ndarray:
    """Which of the 11,172 syllables are in KS X 1001."""
    import numpy as np

    return np.array([in_ks_x_1001(chr(code)) for code in range(0xAC00, 0xD7A4)])


def _rare_share(text: str) -> float:
    import numpy as np

    codes = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype=np.uint16)
    syllables = codes[(codes >= 0xAC00) & (codes <= 0xD7A3)]
    return float(1 - _common()[syllables - 0xAC00].mean()) if len(syllables) else 0.0
