"""Numbers that stand for the forms of a rule of dependent words, in tables and in compiled code."""

from __future__ import annotations

ANYTHING, NO_HANGUL, END = 0, 1, 2
"""What has to come behind a literal of a rule."""
PLAIN, BEHIND_HANGUL, NOT_THESE = 0, 1, 2
"""What an ending is: itself; itself behind Hangul; any last syllable but this one (and its neighbours in the rule)."""
