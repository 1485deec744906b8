"""What compiled scans say of the text that is cleaned now, each computed once and shared by all steps that ask.

A text goes through ten steps that mostly do not change it. So the answers about the text that was asked about last are
kept, by the identity of the string: `scan_of(text)` of the next step finds its code points, lines and prose ready.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from kormo_plugins.corpus.scan import alphabets, bits
from kormo_plugins.corpus.scan.characters import table
from kormo_plugins.corpus.steps.heuristics.genres import without_stamps

REFERENCE = "KORMO_REFERENCE_STEPS"
"""Environment: 1, the steps use their per-document patterns instead of compiled scans; 0, compiled scans from the first
text on. Results are the same."""
PATIENCE = 8_000_000
"""Characters that a process cleans with patterns where no scan was ever compiled (ours). A million costs about half a
second more than with scans, and compiling these ten: a little text is done before, and much is not held up."""


class _State:
    compiled: bool | None = {"": None, "0": True}.get(os.environ.get(REFERENCE, ""), False)  # None: what costs less
    waiting: int | None = None  # characters still to be cleaned with patterns
    asked = ""  # the text of the last question
    scan: TextScan


def compiled(text: str) -> bool:
    """Whether steps use the compiled scans on `text`, or patterns: as was set, or what costs less."""
    if _State.compiled is not None:
        return _State.compiled
    if _State.waiting is None:
        from kormo_plugins.store.compiled import holds

        _State.waiting = 0 if holds(Path(__file__).parent / "kernels") else PATIENCE
    if _State.waiting > 0 and text is not _State.asked:
        _State.waiting -= len(text)
        _State.asked = text
    return _State.waiting <= 0


@contextmanager
def steps_with(scans: bool) -> Iterator[None]:
    """Within it, steps of this process use compiled scans, or the patterns that these are compared with."""
    before, _State.compiled = _State.compiled, scans
    try:
        yield
    finally:
        _State.compiled = before


@lru_cache(maxsize=1)
def character_bits() -> np.ndarray:
    """The bits of every code point; uint16, shape [0x110000]."""
    between = alphabets.BETWEEN_DIGITS
    separators = between + "".join(chr(code) for code, plain in alphabets.PLAIN.items() if plain in between)
    rare = "".join(char for char in map(chr, range(0xAC00, 0xD7A4)) if not in_ks_x_1001(char))
    return table(
        {
            bits.ODD: alphabets.ODD,
            bits.SUSPECT: alphabets.SUSPECT,
            bits.RARE: rare,
            bits.SEPARATOR: re.escape(separators),
            bits.WIDE: re.escape("".join(map(chr, alphabets.PLAIN))),
            bits.PARTICLE: "".join(sorted(alphabets.PARTICLES)),
            bits.PERSONAL: alphabets.PERSONAL,
        }
    )


def in_ks_x_1001(syllable: str) -> bool:
    """Whether a Hangul syllable is one of the 2,350 of KS X 1001. Of the others, Python's codec writes the letters."""
    return len(syllable.encode("euc_kr")) == 2


_Scan = TypeVar("_Scan")
_Answer = TypeVar("_Answer")


class once(Generic[_Scan, _Answer]):
    """A property that is computed when it is first asked for. `functools.cached_property` takes a lock for it before
    Python 3.12, which is a third of what it costs to ask ten scans about a short text."""

    def __init__(self, compute: Callable[[_Scan], _Answer]) -> None:
        self.compute, self.name = compute, compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, scan: _Scan, owner: type[_Scan]) -> _Answer:
        answer = self.compute(scan)
        scan.__dict__[self.name] = answer  # found there from now on
        return answer


def codes_of(text: str) -> np.ndarray:
    """The code points of a text; uint32, shape [characters], read-only."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


class TextScan:
    """Answers about one text.

    Args:
        text: any Unicode, lone surrogates too.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @once
    def codes(self) -> np.ndarray:
        """Its code points; uint32, shape [characters], read-only."""
        return codes_of(self.text)

    @once
    def utf8(self) -> bytes:
        """The text in UTF-8.

        Raises:
            UnicodeEncodeError: a lone surrogate, which has none.
        """
        return self.text.encode()

    @once
    def one_spaced(self) -> np.ndarray:
        """Its words with one space between them, in UTF-8; uint8, shape [bytes]."""
        from kormo_plugins.corpus.scan.kernels.words_kernel import one_spaced

        return np.asarray(one_spaced(np.frombuffer(self.utf8, dtype=np.uint8)))

    @once
    def survey(self) -> list[int]:
        """What its characters are (`survey_kernel`)."""
        from kormo_plugins.corpus.scan.kernels.survey_kernel import survey

        found: list[int] = survey(self.codes, character_bits()).tolist()
        return found

    @once
    def personal(self) -> tuple[list[list[int]], int, list[int]]:
        """Where personal data may stand in it (`numbers_kernel`): runs of digits, flags, signs of addresses."""
        from kormo_plugins.corpus.scan.kernels.numbers_kernel import PASSPORT_WORD, personal

        runs, flags, signs = personal(self.codes, character_bits(), PASSPORT_WORD)
        return runs.tolist(), int(flags), signs.tolist()

    @once
    def prose(self) -> ProseScan:
        """Its prose, which may be the text itself."""
        from kormo_plugins.corpus.scan.kernels.prose_kernel import prose

        found = prose(self.codes, character_bits())
        return ProseScan(found, self.text if found.size == self.codes.size else None)


class ProseScan:
    """Answers about the prose of a text.

    Args:
        codes: its code points.
        text: the same as a string, where that is there.
    """

    def __init__(self, codes: np.ndarray, text: str | None = None) -> None:
        self.codes, self._text = codes, text

    @once
    def bare(self) -> np.ndarray:
        """Its code points without the marks of a chat or of subtitles before its lines: names of speakers by the
        compiled scan; where others may stand, patterns take all out (`steps/heuristics/genres.py`)."""
        from kormo_plugins.corpus.scan.kernels.lines_kernel import STAMPED, without_speakers

        found, state = without_speakers(self.codes, character_bits())
        return codes_of(without_stamps(self.text)) if state == STAMPED else np.asarray(found)

    @once
    def lines(self) -> np.ndarray:
        """Start and end of those lines of `bare` that are not empty; int64, shape [lines, 2]."""
        from kormo_plugins.corpus.scan.kernels.lines_kernel import lines

        return np.asarray(lines(self.bare, character_bits()))

    @once
    def text(self) -> str:
        """The prose itself."""
        if self._text is not None:
            return self._text
        return self.codes.tobytes().decode("utf-32-le", "surrogatepass")


def is_composed(text: str, form: str) -> bool:
    """Whether every character of `text` surely stays as it is: none that `normalize` rewrites, and none that may not be
    in the form NFC. Of another form, but `none`, nothing is said."""
    if form not in ("NFC", "none") or not compiled(text):
        return False
    from kormo_plugins.corpus.scan.kernels.survey_kernel import ANY

    doubtful = bits.ODD | (bits.UNSURE if form == "NFC" else 0)
    return not scan_of(text).survey[ANY] & doubtful


def may_hold(text: str, kind: int) -> bool:
    """Whether a character of that kind (a bit of `bits`) is in `text`; without compiled scans nobody knows."""
    if not compiled(text):
        return True
    from kormo_plugins.corpus.scan.kernels.survey_kernel import ANY

    return bool(scan_of(text).survey[ANY] & kind)


def has_trailing(text: str) -> bool:
    """Whether a blank stands before a line end."""
    latest = _State.scan
    if latest.text is text and "survey" in latest.__dict__:  # one that nobody has asked for costs more than a look
        from kormo_plugins.corpus.scan.kernels.survey_kernel import TRAILING

        return latest.survey[TRAILING] > 0
    return " \n" in text or "\t\n" in text


def plain_text(text: str) -> str:
    """`text` with other writings of digits and separators as those of ASCII, character for character."""
    from kormo_plugins.corpus.scan.kernels.numbers_kernel import rewritten
    from kormo_plugins.corpus.scan.kernels.survey_kernel import ANY

    scan = scan_of(text)
    if not scan.survey[ANY] & bits.WIDE:
        return text
    pairs = sorted((code, ord(plain)) for code, plain in alphabets.PLAIN.items())
    wide, plain = np.array(pairs, dtype=np.uint32).T.copy()
    return rewritten(scan.codes, character_bits(), wide, plain).tobytes().decode("utf-32-le", "surrogatepass")


_State.scan = TextScan("")


def scan_of(text: str) -> TextScan:
    """The answers about `text`; those that were given are kept until another text is asked about."""
    latest = _State.scan
    if latest.text is not text:
        latest = _State.scan = TextScan(text)
    return latest


def utf8_of(text: str) -> bytes:
    """`text` in UTF-8, lone surrogates as three bytes each; what is kept of another text stays."""
    if _State.scan.text is text:
        with suppress(UnicodeEncodeError):
            return _State.scan.utf8
    return text.encode("utf-8", "surrogatepass")
