"""How sentences hang together: connectives, entities that go on, and what is said again.

    connectives   sentences that begin with one, per 100; and how many different ones, of all that were used
    continuity    share of sentences that speak of an entity of the sentence before (adjacent transitions of the
                  entity grid: Barzilay and Lapata, Computational Linguistics 34(1), 2008)
    return        share of a later turn's entities that an earlier turn has named
    repetition    share of runs of four words that occurred before in the same text (rep-n: Welleck et al.,
                  arXiv 1908.04319)
    over turns    share of runs of four words of a later turn that an earlier turn has

Entities are noun stems that occur twice or more (`stems.py`). All are shares of the text itself; none says what is
right, only how a text differs from those of people, beside which it is to be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from kormo_plugins.korean.stems import noun_stems, stem_of, words_of
from kormo_plugins.korean.text import prose, sentences

CONNECTIVES = frozenset(Path(__file__).with_name("connectives.txt").read_text(encoding="utf-8").split())
"""First words that tie a sentence to the one before (접속 부사 and their like: 표준국어대사전)."""
RUN = 4
"""Words of a run that is looked for again."""


def connectives(text: str) -> tuple[int, Counter[str]]:
    """Sentences of a text, and how often each connective begins one (the first sentence has nothing before it)."""
    found = sentences(prose(text))
    firsts = [words_of(one)[0] for one in found[1:] if words_of(one)]
    return len(found), Counter(word for word in firsts if word in CONNECTIVES)


def continuity(text: str) -> tuple[int, int]:
    """Sentences that speak of an entity of the one before, and sentences that have one before them."""
    found = [words_of(one) for one in sentences(prose(text))]
    nouns = _entities([word for one in found for word in one])
    entities = [{stem for word in one if (stem := stem_of(word, nouns)) is not None} for one in found]
    held = sum(bool(one & other) for one, other in pairwise(entities))
    return held, max(0, len(entities) - 1)


def _entities(words: Sequence[str]) -> set[str]:
    nouns = noun_stems(words)
    counts = Counter(stem for word in words if (stem := stem_of(word, nouns)) is not None)
    return {stem for stem, count in counts.items() if count > 1}


def return_of_entities(turns: Sequence[str]) -> tuple[int, int]:
    """Entities of later turns that an earlier turn has named, and entities of later turns."""
    words = [words_of(prose(turn)) for turn in turns]
    nouns = noun_stems(word for one in words for word in one)
    named: set[str] = set()
    back = total = 0
    for number, one in enumerate(words):
        here = {stem for word in one if (stem := stem_of(word, nouns)) is not None}
        if number:
            back, total = back + len(here & named), total + len(here)
        named |= here
    return back, total


def repetition(text: str) -> tuple[int, int]:
    """Runs of four words that occurred before, and all runs."""
    words = words_of(prose(text))
    runs = [tuple(words[n : n + RUN]) for n in range(len(words) - RUN + 1)]
    return len(runs) - len(set(runs)), len(runs)


def repetition_over_turns(turns: Sequence[str]) -> tuple[int, int]:
    """Runs of four words of later turns that an earlier turn has, and runs of later turns."""
    said: set[tuple[str, ...]] = set()
    again = total = 0
    for number, turn in enumerate(turns):
        words = words_of(prose(turn))
        runs = [tuple(words[n : n + RUN]) for n in range(len(words) - RUN + 1)]
        if number:
            again, total = again + sum(run in said for run in runs), total + len(runs)
        said |= set(runs)
    return again, total
