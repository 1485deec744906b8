"""Coherence measures: connectives, entity continuity, and repetition.

    connectives   sentences that begin with one, per 100; and the number of distinct ones over all uses
    continuity    share of sentences that mention an entity of the preceding sentence (adjacent transitions of the
                  entity grid: Barzilay and Lapata, Computational Linguistics 34(1), 2008)
    return        share of a later turn's entities that an earlier turn mentions
    repetition    share of 4-grams that occurred before in the same text (rep-n: Welleck et al., arXiv 1908.04319)
    over turns    share of a later turn's 4-grams that occur in an earlier turn

Entities are noun stems that occur at least twice (`stems.py`). The measures have no target value: compare them with
those of human text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from kormo_plugins.korean.stems import noun_stems, stem_of, words_of
from kormo_plugins.korean.text import prose, sentences

CONNECTIVES = frozenset(Path(__file__).with_name("connectives.txt").read_text(encoding="utf-8").split())
"""Sentence-initial connectives (접속 부사 and similar: 표준국어대사전)."""
RUN = 4
"""Words per n-gram."""


def connectives(text: str) -> tuple[int, Counter[str]]:
    """Number of sentences, and how often each connective begins one (the first sentence is not counted)."""
    sentence_list = sentences(prose(text))
    firsts = [words_of(sentence)[0] for sentence in sentence_list[1:] if words_of(sentence)]
    return len(sentence_list), Counter(word for word in firsts if word in CONNECTIVES)


def continuity(text: str) -> tuple[int, int]:
    """Number of sentences that mention an entity of the preceding one, and number of sentences with a predecessor."""
    sentence_words = [words_of(one) for one in sentences(prose(text))]
    nouns = _entities([word for one in sentence_words for word in one])
    entities = [{stem for word in one if (stem := stem_of(word, nouns)) is not None} for one in sentence_words]
    continued = sum(bool(one & other) for one, other in pairwise(entities))
    return continued, max(0, len(entities) - 1)


def _entities(words: Sequence[str]) -> set[str]:
    nouns = noun_stems(words)
    counts = Counter(stem for word in words if (stem := stem_of(word, nouns)) is not None)
    return {stem for stem, count in counts.items() if count > 1}


def return_of_entities(turns: Sequence[str]) -> tuple[int, int]:
    """Number of entities in later turns that an earlier turn mentions, and number of entities in later turns."""
    words = [words_of(prose(turn)) for turn in turns]
    nouns = noun_stems(word for turn_words in words for word in turn_words)
    mentioned: set[str] = set()
    back = total = 0
    for number, turn_words in enumerate(words):
        entities = {stem for word in turn_words if (stem := stem_of(word, nouns)) is not None}
        if number:
            back, total = back + len(entities & mentioned), total + len(entities)
        mentioned |= entities
    return back, total


def repetition(text: str) -> tuple[int, int]:
    """Number of 4-grams that occurred before, and number of all 4-grams."""
    words = words_of(prose(text))
    runs = [tuple(words[n : n + RUN]) for n in range(len(words) - RUN + 1)]
    return len(runs) - len(set(runs)), len(runs)


def repetition_over_turns(turns: Sequence[str]) -> tuple[int, int]:
    """Number of 4-grams in later turns that occur in an earlier turn, and number of 4-grams in later turns."""
    earlier: set[tuple[str, ...]] = set()
    repeated = total = 0
    for number, turn in enumerate(turns):
        words = words_of(prose(turn))
        runs = [tuple(words[n : n + RUN]) for n in range(len(words) - RUN + 1)]
        if number:
            repeated, total = repeated + sum(run in earlier for run in runs), total + len(runs)
        earlier |= set(runs)
    return repeated, total
