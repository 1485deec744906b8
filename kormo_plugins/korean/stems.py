"""Detects noun stems by the particles that follow them, without a dictionary.

A stem counts as a noun if it is followed by a particle that verbs and adjectives do not take (에서, 에게, 의, 까지,
부터, 처럼, 보다, 에는, 를 …). This finds the nouns that a text uses more than once, as needed for agreement and
consistency; it does not find all nouns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from kormo_plugins.korean.sounds import final_sound

SURE = (
    "에서는", "에서도", "에게서", "에서", "에게", "한테", "께서",
    "으로서", "으로써", "까지", "부터", "처럼", "보다", "마다",
    "조차", "마저", "에는", "에도", "의", "에",
)  # fmt: skip
"""Particles that only nouns take."""
CHANGING = {
    particle: forms
    for forms in (("은", "는"), ("이", "가"), ("을", "를"), ("과", "와"), ("으로", "로"))
    for particle in forms
}
"""Particle -> its forms after a consonant and after a vowel."""
_EDGE = re.compile(r"^[^\w가-힣]+|[^\w가-힣]+$")


def words_of(text: str) -> list[str]:
    """Eojeol without leading and trailing punctuation."""
    return [bare for word in text.split() if (bare := _EDGE.sub("", word))]


@lru_cache(maxsize=65536)
def right_form(stem: str, particle: str) -> bool:
    """Whether a particle has the form that the preceding sound requires: `으로` is `로` after a vowel and after ㄹ."""
    closed, opened = CHANGING[particle]
    tail = final_sound(stem)
    wanted = opened if not tail or (tail == "ㄹ" and closed == "으로") else closed
    return particle == wanted


def noun_stems(words: Iterable[str]) -> set[str]:
    """Stems that a text shows to be nouns: of at least two syllables, or of one with two different particles."""
    seen: dict[str, set[str]] = {}
    for word in words:
        for particle in SURE:
            if word.endswith(particle) and len(word) > len(particle):
                seen.setdefault(word[: -len(particle)], set()).add(particle)
                break
        else:
            if word.endswith("를") and len(word) > 1 and right_form(word[:-1], "를"):  # verbs also end in 을: 받을
                seen.setdefault(word[:-1], set()).add("를")
    return {stem for stem, found in seen.items() if len(stem) > 1 or len(found) > 1}


def stem_of(word: str, nouns: set[str]) -> str | None:
    """The noun in a word: one of `nouns`, alone or with a particle."""
    if word in nouns:
        return word
    for particle in (*SURE, "으로", *CHANGING, "도", "만"):
        if word.endswith(particle) and word[: -len(particle)] in nouns:
            return word[: -len(particle)]
    return None
