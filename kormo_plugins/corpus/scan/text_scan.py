"""Compiled scans of the current text, each computed once and shared by all steps.

A text passes through about ten steps, most of which do not change it. The scans of the most recent text are therefore
cached by the identity of the string: `scan_of(text)` in the next step reuses its code points, lines and prose.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from kormo_plugins.corpus.scan import alphabets, bits
from kormo_plugins.corpus.scan.characters import table
from kormo_plugins.corpus.steps.heuristics.genres import without_stamps

if TYPE_CHECKING:
    import numpy as np

REFERENCE = "KORMO_REFERENCE_STEPS"
"""Environment variable. 1: steps use their patterns instead of compiled scans; 0: compiled scans from the first text
on. Results are the same."""
PATIENCE = 8_000_000
"""Characters that a process cleans with patterns if no compiled scan is cached (ours). A million costs about half a
second more than with scans, and compiling these fifteen seconds of one core: small inputs finish earlier, large ones
are hardly delayed."""


class _State:
    compiled: bool | None = {"": None, "0": True}.get(os.environ.get(REFERENCE, ""), False)  # None: chosen by cost
    waiting: int | None = None  # characters left before compiling
    asked = ""  # the most recent text
    scan: TextScan
    prepare: Callable[[], None] = staticmethod(lambda: None)


def compiled(text: str) -> bool:
    """Whether steps use compiled scans for `text`, or patterns: as configured, or whichever is cheaper."""
    if _State.compiled is not None:
        return _State.compiled
    if _State.waiting is None:
        from kormo_plugins.store.compiled.functions import holds

        _State.waiting = 0 if holds(Path(__file__).parent / "kernels") else PATIENCE
    if _State.waiting > 0 and text is not _State.asked:
        _State.waiting -= len(text)
        _State.asked = text
        if _State.waiting <= 0:
            _State.prepare()
    return _State.waiting <= 0


def chosen_by_cost() -> bool:
    """Whether scans or patterns are used by what they cost, and not as configured."""
    return _State.compiled is None


def before_compiling(prepare: Callable[[], None]) -> None:
    """Sets what is called once, when the scans have become cheaper than patterns and before any of them is used."""
    _State.prepare = staticmethod(prepare)


@contextmanager
def steps_with(scans: bool) -> Iterator[None]:
    """Context manager that makes steps of this process use compiled scans, or the reference patterns."""
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
    """Whether a Hangul syllable is one of the 2,350 of KS X 1001. Python's codec writes the others as letters."""
    return len(syllable.encode("euc_kr")) == 2


_Scan = TypeVar("_Scan")
_Answer = TypeVar("_Answer")


class once(Generic[_Scan, _Answer]):
    """A cached property. Before Python 3.12 `functools.cached_property` takes a lock, which is a third of the cost of
    asking ten scans about a short text."""

    def __init__(self, compute: Callable[[_Scan], _Answer]) -> None:
        self.compute, self.name = compute, compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, scan: _Scan, owner: type[_Scan]) -> _Answer:
        answer = self.compute(scan)
        scan.__dict__[self.name] = answer  # later accesses find it here
        return answer


def codes_of(text: str) -> np.ndarray:
    """The code points of a text; uint32, shape [characters], read-only."""
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


class TextScan:
    """Scan results of one text.

    Args:
        text: any Unicode, including lone surrogates.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @once
    def codes(self) -> np.ndarray:
        """The code points; uint32, shape [characters], read-only."""
        return codes_of(self.text)

    @once
    def utf8(self) -> bytes:
        """The text in UTF-8.

        Raises:
            UnicodeEncodeError: the text has a lone surrogate.
        """
        return self.text.encode()

    @once
    def one_spaced(self) -> np.ndarray:
        """The words separated by single spaces, in UTF-8; uint8, shape [bytes]."""
        import numpy as np

        from kormo_plugins.corpus.scan.kernels.words_kernel import one_spaced

        return np.asarray(one_spaced(np.frombuffer(self.utf8, dtype=np.uint8)))

    @once
    def survey(self) -> list[int]:
        """Character statistics (`survey_kernel`)."""
        from kormo_plugins.corpus.scan.kernels.survey_kernel import survey

        counts: list[int] = survey(self.codes, character_bits()).tolist()
        return counts

    @once
    def personal(self) -> tuple[list[list[int]], int, list[int]]:
        """Where personal data may be (`numbers_kernel`): digit runs, flags, address characters."""
        from kormo_plugins.corpus.scan.kernels.numbers_kernel import PASSPORT_WORD, personal

        runs, flags, signs = personal(self.codes, character_bits(), PASSPORT_WORD)
        return runs.tolist(), int(flags), signs.tolist()

    @once
    def prose(self) -> ProseScan:
        """The prose of the text, which may be the whole text."""
        from kormo_plugins.corpus.scan.kernels.prose_kernel import prose

        found = prose(self.codes, character_bits())
        return ProseScan(found, self.text if found.size == self.codes.size else None)


class ProseScan:
    """Scan results of the prose of a text.

    Args:
        codes: its code points.
        text: the same as a string, if available.
    """

    def __init__(self, codes: np.ndarray, text: str | None = None) -> None:
        self.codes, self._text = codes, text

    @once
    def bare(self) -> np.ndarray:
        """The code points without chat or subtitle markers at the start of lines: speaker names are removed by the
        compiled scan; if other markers may be present, patterns remove all of them (`steps/heuristics/genres.py`)."""
        import numpy as np

        from kormo_plugins.corpus.scan.kernels.lines_kernel import STAMPED, without_speakers

        found, state = without_speakers(self.codes, character_bits())
        return codes_of(without_stamps(self.text)) if state == STAMPED else np.asarray(found)

    @once
    def lines(self) -> np.ndarray:
        """Start and end of the non-empty lines of `bare`; int64, shape [lines, 2]."""
        import numpy as np

        from kormo_plugins.corpus.scan.kernels.lines_kernel import lines

        return np.asarray(lines(self.bare, character_bits()))

    @once
    def text(self) -> str:
        """The prose."""
        if self._text is not None:
            return self._text
        return self.codes.tobytes().decode("utf-32-le", "surrogatepass")


def is_composed(text: str, form: str) -> bool:
    """Whether every character of `text` certainly stays unchanged: none that `normalize` rewrites, and none that may
    not be in NFC. For forms other than NFC and `none` the answer is False."""
    if form not in ("NFC", "none") or not compiled(text):
        return False
    from kormo_plugins.corpus.scan.kernels.survey_kernel import ANY

    doubtful = bits.ODD | (bits.UNSURE if form == "NFC" else 0)
    return not scan_of(text).survey[ANY] & doubtful


def may_hold(text: str, kind: int) -> bool:
    """Whether `text` has a character of that class (a bit of `bits`); True without compiled scans."""
    if not compiled(text):
        return True
    from kormo_plugins.corpus.scan.kernels.survey_kernel import ANY

    return bool(scan_of(text).survey[ANY] & kind)


def has_trailing(text: str) -> bool:
    """Whether a blank precedes a line end."""
    latest = _State.scan
    if latest.text is text and "survey" in latest.__dict__:  # computing it costs more than a search
        from kormo_plugins.corpus.scan.kernels.survey_kernel import TRAILING

        return latest.survey[TRAILING] > 0
    return " \n" in text or "\t\n" in text


def plain_text(text: str) -> str:
    """`text` with variants of digits and separators replaced by ASCII, one to one."""
    import numpy as np

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
    """The scan results of `text`, cached until another text is scanned."""
    latest = _State.scan
    if latest.text is not text:
        latest = _State.scan = TextScan(text)
    return latest


def utf8_of(text: str) -> bytes:
    """`text` in UTF-8, lone surrogates as three bytes each; does not replace the cached text."""
    if _State.scan.text is text:
        with suppress(UnicodeEncodeError):
            return _State.scan.utf8
    return text.encode("utf-8", "surrogatepass")
