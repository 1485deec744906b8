"""Text that can be shown to anybody, anywhere: without keys and passwords, and harmless in a terminal."""

from __future__ import annotations

import re
from functools import cache

BLANK = "REDACTED"
"""Stands for a secret; plain in YAML, JSON and URLs alike."""


def redact(text: str) -> str:
    """Text without keys and passwords: for every message, record, copy of a recipe, card and page.

    Blanked are the user part of URLs, query parameters that are named like secrets, `Authorization` values, and the
    forms in which well-known services hand out keys.
    """
    for pattern, replacement in _secrets():
        text = pattern.sub(replacement, text)
    return text


@cache
def _secrets() -> tuple[tuple[re.Pattern[str], str], ...]:
    """What is blanked, and by what; compiled on first use, since most commands end without a message."""
    return (
        (re.compile(_USER_OF_URL, re.IGNORECASE), rf"\1{BLANK}@"),
        (re.compile(_SECRET_PARAMETER, re.IGNORECASE), rf"\1{BLANK}"),
        (re.compile(_AUTHORIZATION), rf"\1 {BLANK}"),
        (re.compile(_KEY_FORMS), BLANK),
    )


_USER_OF_URL = r"\b([a-z][a-z0-9+.-]*://)[^/\s@'\"?#]+@"
_SECRET_PARAMETER = (
    r"([?&;](?:x-amz-)?(?:api[_-]?key|key|(?:access|auth|security|session|sas)?[_-]?token|auth|secret|client_secret|"
    r"password|passwd|pwd|sig|signature|credential)=)[^&;\s#'\"]+"
)
_AUTHORIZATION = r"\b(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{8,}"
_KEY_FORMS = (
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|"
    r"glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{30,})"
)


def printable(text: str) -> str:
    """Text whose control characters cannot move a terminal's cursor, colour it, or turn its direction.

    C0 and C1 controls (but tab and line feed), the bidirectional controls of Unicode (UAX 9) and lone surrogates become
    escapes that can be read.
    """
    return re.sub(_CONTROLS, lambda found: _escape(found.group()), text)


_CONTROLS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
