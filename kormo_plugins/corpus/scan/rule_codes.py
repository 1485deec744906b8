"""Integer codes for the forms of a dependent-word rule, shared by tables and compiled code."""

from __future__ import annotations

ANYTHING, NO_HANGUL, END = 0, 1, 2
"""What must follow a literal of a rule."""
PLAIN, BEHIND_HANGUL, NOT_THESE = 0, 1, 2
"""Kinds of endings: the literal; the literal after Hangul; any last syllable except this one (and its neighbours)."""
