"""Text that is not UTF-8: any stream becomes UTF-8 before anything else looks at it.

Bytes that the encoding does not know become the lone surrogate U+DCFF, which no UTF-8 text can hold: the row that they
are in is rejected by whoever decodes it, and its neighbours are not. `auto` decides for each file by its byte order
mark, by UTF-8 and by chardet, and gives no answer where chardet's confidence is below `CONFIDENT`: of 520 pieces of 60
to 5,000 characters in CP949, Shift JIS, EUC-JP, GB 18030 and Big5 it then named one wrongly.
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
"""Encodings in which the byte 0x0A is a line end and nothing else, so that a file may be entered at any line."""
MARKS = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with that one's
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WIDER = {"euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "iso8859-1": "cp1252"}
"""What chardet names -> the encoding of the same texts that knows more characters."""
CONFIDENT = 0.8
SAMPLE = 1 << 14
"""Bytes of lines with characters beyond ASCII that chardet sees; it takes 10 ms for them."""
SEARCHED = 64 << 20
"""Bytes from the beginning of a file among which the first character beyond ASCII is looked for."""
_LONE = "kormo_lone"


def _lone(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(_LONE, _lone)


def canonical(name: str) -> str:
    """The usual name of a text encoding.

    Raises:
        ValueError: Python knows none of that name.
    """
    if name.lower() == AUTO:
        if importlib.util.find_spec("chardet") is None:
            raise ValueError("auto needs chardet, which is not installed: pip install 'kormo-plugins[encodings]'")
        return AUTO
    try:
        "".encode(name)  # refuses what is a codec and no text encoding, such as `zip`
        found = codecs.lookup(name).name
    except (LookupError, TypeError, ValueError):
        raise ValueError(
            f"no text encoding is named {name!r}; usual ones are utf-8, cp949, euc-kr, utf-16, auto"
        ) from None
    return UTF8 if found == "utf-8-sig" else found


def to_utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """A stream in `encoding` (not `auto`) as UTF-8, without a byte order mark."""
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
    """One line of a file whose encoding is among `LINE_SAFE`."""
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
    """What `auto` found: an encoding, or None and the reason."""

    encoding: str | None
    reason: str = ""


def detect(pieces: Iterable[bytes]) -> Guess:
    """The encoding of a stream; reads as far as its first characters beyond ASCII."""
    sample, ended = _sample(pieces)
    for mark, encoding in MARKS:
        if sample.startswith(mark):
            return Guess(encoding)
    if _is_utf8(sample, ended) and b"\0" not in sample:
        return Guess(UTF8)
    import chardet

    lines = b"\n".join(line for line in sample.split(b"\n") if not line.isascii())[:SAMPLE]
    found = chardet.detect(lines if b"\0" not in sample else sample[:SAMPLE])
    name, confidence = found["encoding"], float(found["confidence"] or 0)
    if not name or confidence < CONFIDENT:
        best = f", the likeliest is {name} with {confidence:.0%}" if name else ""
        return Guess(None, f"encoding not certain{best}: name it (encoding)")
    codec = codecs.lookup(name).name
    return Guess(WIDER.get(codec, codec))


def likelier(lines: list[bytes]) -> str:
    """The encoding that some lines seem to be in; UTF-8 where the first one is, empty where nobody can tell."""
    if not lines or _is_utf8(lines[0], True):
        return UTF8
    if importlib.util.find_spec("chardet") is None:
        return ""
    return detect([b"\n".join(lines)]).encoding or ""


def _sample(pieces: Iterable[bytes]) -> tuple[bytes, bool]:
    """Up to 1 MB around the first bytes beyond ASCII (or the beginning, if it has a mark or NUL), and whether the
    stream ended there."""
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
    """The pieces up to where a damaged file ends, which is told when it is read."""
    with suppress(Damaged):
        yield from pieces


def _is_utf8(sample: bytes, ended: bool) -> bool:
    try:
        codecs.getincrementaldecoder(UTF8)().decode(sample, ended)
    except UnicodeDecodeError:
        return False
    return True
