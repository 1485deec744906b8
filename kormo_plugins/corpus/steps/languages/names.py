"""The languages that have weights, in the order of the table's columns."""

from __future__ import annotations

_LATIN = "en de fr es pt it nl id vi tr pl sv da no fi cs ro hu ca hr sk lt sl et"
_CYRILLIC = "ru uk be bg sr kk mn ky"
LANGUAGES = (*_LATIN.split(), *_CYRILLIC.split())
"""Those of Latin letters first (`kernel.LATIN_LANGUAGES` of them), then those of Cyrillic."""
