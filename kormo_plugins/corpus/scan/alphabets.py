"""Character sets of the steps, as bodies of `re` character classes, shared by patterns and compiled scans."""

from __future__ import annotations

import re

LINES = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028"
"""Separators replaced by one line feed; \x1c-\x1e separate records in database exports."""
PARAGRAPH = "\u2029"
SPACES = "\x1f\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u115f\u1160\u3164\uffa0"
"""Spaces of other widths, the unit separator, and Hangul fillers, which render as blanks."""
GONE = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b\u200e\u200f\u2060-\u2064\u206a-\u206f\ufeff"
    "\ufff9-\ufffb\u202a-\u202e\u2066-\u2069\U000e0001"
)
JOINERS = "\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"
TAGS = "\U000e0020-\U000e007f"
ODD = f"{LINES}{PARAGRAPH}{SPACES}{GONE}{JOINERS}{TAGS}"
"""All characters that `normalize` rewrites or may rewrite."""

CP1252 = {bytes([b]).decode("cp1252"): b for b in range(0x80, 0xA0) if b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}
"""Character of cp1252 that Latin-1 lacks -> its byte."""
SUSPECT = "\x80-\xff" + "".join(re.escape(char) for char in CP1252)
"""Characters that bytes above 127 become when decoded as Latin-1 or cp1252."""

PLAIN: dict[int, str] = str.maketrans(
    dict(zip("０１２３４５６７８９", "0123456789", strict=True))
    | dict.fromkeys("‐‑‒–—―−－ー﹣", "-")
    | dict.fromkeys("（", "(")
    | dict.fromkeys("）", ")")
    | dict.fromkeys("．・·", ".")
    | dict.fromkeys("＋", "+")
    | dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " ")
)
"""Variants of digits and separators -> the ASCII character, one to one."""
BETWEEN_DIGITS = "-. ()/~"
"""Separators allowed between the digits of a number."""
PERSONAL = "0-9０-９@＠tT:pP일여면운골"
"""First characters of numbers, of addresses, and of the keywords searched for near them."""

PARTICLES = frozenset("은는이가을를의에서로와과도만고며면지게다요나야니기해한할된될인던들어아여라까자함됨음임매사")
"""Last syllables of an eojeol with a particle or an ending; nouns end in most of the other 11,000. The last two join
clauses in scripture (`하시매`, `나누사`), the four before them end the sentences of reports (`…을 확대함`)."""
