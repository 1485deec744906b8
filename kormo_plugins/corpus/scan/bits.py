"""The bits by which `characters.table` says what kind of character a code point is."""

from __future__ import annotations

SPACE = 1
"""White space (`\\s`)."""
WORD = 2
"""`\\w`."""
DIGIT = 4
"""`\\d`."""
HANGUL = 8
"""A syllable block."""
ODD = 16
"""What `normalize` rewrites or may rewrite."""
UNSURE = 32
"""What may not be in composed form (NFC); without one such a text surely is."""
SUSPECT = 64
"""What `mojibake` suspects."""
RARE = 128
"""A syllable outside KS X 1001."""
SEPARATOR = 256
"""Stands between the digits of a number (`personal/numbers.py`)."""
WIDE = 512
"""Another writing of a digit or a separator."""
PARTICLE = 1024
"""Last syllable of an eojeol with a particle or an ending."""
PERSONAL = 2048
"""A digit, or a sign with which something begins that may be personal data (`numbers_kernel.personal`)."""
