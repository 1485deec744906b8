"""Bits of `characters.table`, which classify a code point."""

from __future__ import annotations

SPACE = 1
"""White space (`\\s`)."""
WORD = 2
"""`\\w`."""
DIGIT = 4
"""`\\d`."""
HANGUL = 8
"""A Hangul syllable."""
ODD = 16
"""Rewritten, or possibly rewritten, by `normalize`."""
UNSURE = 32
"""Possibly not in composed form (NFC); a text without such characters certainly is."""
SUSPECT = 64
"""Suspicious to `mojibake`."""
RARE = 128
"""A syllable outside KS X 1001."""
SEPARATOR = 256
"""Allowed between the digits of a number (`personal/numbers.py`)."""
WIDE = 512
"""A variant of a digit or a separator."""
PARTICLE = 1024
"""Last syllable of an eojeol with a particle or an ending."""
PERSONAL = 2048
"""A digit, or a character with which possible personal data begins (`numbers_kernel.personal`)."""
