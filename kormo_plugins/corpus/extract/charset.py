"""Decodes a page: determines the character set as browsers do, then verifies it against the bytes.

Order of the HTML standard (WHATWG, 13.2.3.2): byte order mark, HTTP header, `<meta>` in the first 1,024 bytes, then
detection from the bytes. Labels have the meaning of the Encoding standard: `euc-kr` and `ks_c_5601-1987` are cp949,
`iso-8859-1` is windows-1252. Unlike browsers, a declared set that does not fit the bytes is overridden by UTF-8 or
cp949 if the bytes are valid in it: old Korean pages are often served as `iso-8859-1` by default.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HEADER = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
PRESCAN = 1024
"""Bytes in which browsers search for `<meta charset>`."""
_SINGLE_BYTE = frozenset(("cp1252", "latin_1", "iso8859-1", "iso8859-15", "ascii"))
MOST_WRONG = 0.01
"""Share of undecodable characters above which another set is tried."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The decoded text of a page.

    Args:
        charset: Python codec name.
        said_by: `bom`, `header`, `meta`, or `bytes` if nothing was declared or the declared set did not fit.
        lost: characters that could not be decoded (U+FFFD).
    """

    text: str
    charset: str
    said_by: str
    lost: int


def decode(body: bytes, content_type: str = "") -> Decoded:
    """Decodes the bytes of a page.

    Args:
        content_type: `Content-Type` of the HTTP response.
    """
    for mark, name in _BOMS:
        if body.startswith(mark):
            return _decoded(body[len(mark) :], name, "bom")
    named = _named(body, content_type)
    for name, said_by in named:
        if name in _SINGLE_BYTE and not body.isascii():  # decodes any bytes, so success proves nothing
            continue
        attempt = _decoded(body, name, said_by)
        if attempt.lost <= MOST_WRONG * len(attempt.text):
            return attempt
    return _by_bytes(body, named)


def _named(body: bytes, content_type: str) -> list[tuple[str, str]]:
    """The sets declared by header and meta tag, under browsers' names."""
    labels = []
    header, meta = _HEADER.search(content_type), _META.search(body[:PRESCAN])
    if header:
        labels.append((header[1], "header"))
    if meta:
        label = meta[1].decode("ascii")
        # A meta tag that can be read as ASCII cannot be in UTF-16 (WHATWG, 13.2.3.2, step 6).
        labels.append(("utf-8" if label.lower().startswith("utf-16") else label, "meta"))
    return [(known, said_by) for name, said_by in labels if (known := browser_name(name))]


def browser_name(label: str) -> str:
    """Python's codec for a label as browsers interpret it; "" if unknown."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    try:
        name = map_encoding_to_html5(label, fallback_utf8=False)
    except (LookupError, ValueError):
        return ""
    if not name:
        return ""
    try:
        name = codecs.lookup(name).name
    except LookupError:
        return ""
    return "cp949" if name in ("euc_kr", "euc-kr", "ksc5601") else name


def _by_bytes(body: bytes, named: list[tuple[str, str]]) -> Decoded:
    """Detects the set from the bytes; UTF-8 and cp949 can be verified by decoding."""
    for name in ("utf-8", "cp949"):
        attempt = _decoded(body, name, "bytes")
        if attempt.lost <= MOST_WRONG * len(attempt.text):
            return attempt
    if named:  # a single-byte set, or the declared set with the fewest errors
        return min((_decoded(body, name, said_by) for name, said_by in named), key=lambda decoded: decoded.lost)
    from resiliparse.parse.encoding import detect_encoding

    return _decoded(body, browser_name(detect_encoding(body) or "utf-8") or "utf-8", "bytes")


def _decoded(body: bytes, name: str, said_by: str) -> Decoded:
    text = body.decode(name, errors="replace")
    return Decoded(text, name, said_by, text.count("\ufffd"))
