"""Text encodings: converts any stream to UTF-8 before it is parsed.

Undecodable bytes become the lone surrogate U+DCFF, which valid UTF-8 text cannot contain: the decoder rejects the row
that contains it and keeps its neighbours. `auto` determines the encoding of each file from its byte order mark, by
testing UTF-8, and with chardet; it gives no answer if chardet's confidence is below `CONFIDENT`. At that threshold, one
of 520 pieces of 60 to 5,000 characters in CP949, Shift JIS, EUC-JP, GB 18030 and Big5 was misidentified.
"""

from __future__ import annotations

import codecs
import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from kormo_plugins.corpus.readers.file_formats.streams import Damaged

UTF8, AUTO = "utf-8", "auto"
LINE_SAFE = frozenset(
    (
        "utf-8",
        "ascii",
        "cp949",
        "euc_kr",
        "johab",
        "cp932",
        "shift_jis",
        "euc_jp",
        "gb18030",
        "gbk",
        "big5",
        "iso8859-1",
        "cp1252",
    )
)
"""Encodings in which the byte 0x0A is always a line end, so that reading can start at any line."""
MARKS = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WIDER = {"euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "iso8859-1": "cp1252"}
"""Encoding reported by chardet -> the superset of it that is used instead."""
CONFIDENT = 0.8
SAMPLE = 1 << 14
"""Bytes of non-ASCII lines given to chardet, which takes 10 ms for them."""
SEARCHED = 64 << 20
"""Bytes at the start of a file that are searched for the first non-ASCII character."""
_LONE = "kormo_lone"


def _lone(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(_LONE, _lone)


def canonical(name: str) -> str:
    """The canonical name of a text encoding.

    Raises:
        ValueError: Python does not know it.
    """
    if name.lower() == AUTO:
        if importlib.util.find_spec("chardet") is None:
            raise ValueError("auto requires chardet, which is not installed: pip install 'kormo-plugins[encodings]'")
        return AUTO
    try:
        "".encode(name)  # refuses codecs that are not text encodings, such as `zip`
        codec = codecs.lookup(name).name
    except (LookupError, TypeError, ValueError):
        raise ValueError(
            f"no text encoding is named {name!r}; usual ones are utf-8, cp949, euc-kr, utf-16, auto"
        ) from None
    return UTF8 if codec == "utf-8-sig" else codec


def to_utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Converts a stream in `encoding` (not `auto`) to UTF-8, without a byte order mark."""
    if encoding == UTF8:
        yield from _without_mark(pieces)
        return
    decoder = codecs.getincrementaldecoder(encoding)(_LONE)
    for piece in pieces:
        if text := decoder.decode(piece):
            yield text.encode("utf-8", "surrogatepass")
    if text := decoder.decode(b"", True):
        yield text.encode("utf-8", "surrogatepass")


def line_to_utf8(line: bytes, encoding: str) -> bytes:
    """Converts one line of a file whose encoding is in `LINE_SAFE`."""
    return line if encoding == UTF8 else line.decode(encoding, _LONE).encode("utf-8", "surrogatepass")


def _without_mark(pieces: Iterable[bytes]) -> Iterator[bytes]:
    head, begun = b"", False
    for piece in pieces:
        if begun:
            yield piece
        elif len(head := head + piece) >= len(codecs.BOM_UTF8):
            begun = True
            yield head.removeprefix(codecs.BOM_UTF8)
    if not begun and head:
        yield head


@dataclass(frozen=True, slots=True)
class Guess:
    """Result of `auto`: an encoding, or None and the reason."""

    encoding: str | None
    reason: str = ""


def detect(pieces: Iterable[bytes]) -> Guess:
    """Detects the encoding of a stream; reads up to its first non-ASCII characters."""
    sample, ended = _sample(pieces)
    for mark, encoding in MARKS:
        if sample.startswith(mark):
            return Guess(encoding)
    if _is_utf8(sample, ended) and b"\0" not in sample:
        return Guess(UTF8)
    import chardet

    lines = b"\n".join(line for line in sample.split(b"\n") if not line.isascii())[:SAMPLE]
    guess = chardet.detect(lines if b"\0" not in sample else sample[:SAMPLE])
    name, confidence = guess["encoding"], float(guess["confidence"] or 0)
    if not name or confidence < CONFIDENT:
        best = f", the likeliest is {name} with {confidence:.0%}" if name else ""
        return Guess(None, f"encoding not certain{best}: name it (encoding)")
    codec = codecs.lookup(name).name
    return Guess(WIDER.get(codec, codec))


def likelier(lines: list[bytes]) -> str:
    """The likely encoding of some lines; UTF-8 if the first line is valid UTF-8, "" if detection fails."""
    if not lines or _is_utf8(lines[0], True):
        return UTF8
    if importlib.util.find_spec("chardet") is None:
        return ""
    return detect([b"\n".join(lines)]).encoding or ""


def _sample(pieces: Iterable[bytes]) -> tuple[bytes, bool]:
    """Up to 1 MB around the first non-ASCII bytes (or the beginning, if it has a mark or NUL), and whether the stream
    ended there."""
    searched = 0
    sample = b""
    for piece in _readable(pieces):
        searched += len(piece)
        if not sample and searched < SEARCHED and piece.isascii() and b"\0" not in piece:
            continue
        sample += piece
        if len(sample) >= 4 * SAMPLE:
            return sample, False
    return sample, True


def _readable(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces up to where a damaged file ends; the damage is reported when the file is read."""
    with suppress(Damaged):
        yield from pieces


def _is_utf8(sample: bytes, ended: bool) -> bool:
    try:
        codecs.getincrementaldecoder(UTF8)().decode(sample, ended)
    except UnicodeDecodeError:
        return False
    return True
