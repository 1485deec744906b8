"""What `numbers_kernel` says may stand in a text; a flag that is not set says that its pattern matches nowhere."""

from __future__ import annotations

EMAIL, IPV4, IPV6, SPOKEN, PASSPORT, LICENCE = 1, 2, 4, 8, 16, 32
LETTERS = 64
"""The letter O for a zero (`O1O`): the runs of digits that were found are not all."""
OTHERS = EMAIL | IPV4 | IPV6
"""Those that are no numbers."""
