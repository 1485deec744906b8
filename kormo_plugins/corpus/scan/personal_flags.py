"""Flags of `numbers_kernel`: what a text may contain; without a flag, its pattern cannot match."""

from __future__ import annotations

EMAIL, IPV4, IPV6, SPOKEN, PASSPORT, LICENCE = 1, 2, 4, 8, 16, 32
LETTERS = 64
"""The letter O for a zero (`O1O`): the list of digit runs is incomplete."""
OTHERS = EMAIL | IPV4 | IPV6
"""Those that are not numbers."""
