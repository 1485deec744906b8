"""Coherence and nativeness of Korean text without a judge: all measures of this room, over a set of conversations.

    measure([["first answer", "second answer"], …])  ->  {"particle_errors": 0.4, "translationese": 11.2, …}

A single text is a conversation with one turn. The measures are not grades: compare them with those of human text; a
large difference in either direction means that a model's text is unlike it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kormo_plugins.korean import discourse, translationese
from kormo_plugins.korean.errors import errors


@dataclass(frozen=True)
class Measure:
    """Description of a measure.

    Args:
        better: `lower`, or `as in human text` if both too little and too much differ from human text.
    """

    title: str
    better: str


AS_HUMAN = "as in human text"
MEASURES = {
    "particle_errors": Measure("wrong particle forms, per 1,000 words", "lower"),
    "ending_errors": Measure("wrong forms of endings, per 1,000 words", "lower"),
    "connectives": Measure("sentences that begin with a connective, per 100", AS_HUMAN),
    "connective_variety": Measure("distinct connectives over all connectives used", AS_HUMAN),
    "continuity": Measure("share of sentences that mention an entity of the preceding sentence", AS_HUMAN),
    "return": Measure("share of entities of later turns that an earlier turn mentioned", AS_HUMAN),
    "repetition": Measure("share of four-word runs that occurred earlier in the same text", "lower"),
    "repetition_over_turns": Measure(
        "share of four-word runs of later turns that occurred in an earlier turn", "lower"
    ),
    "translationese": Measure("marks of translationese, per 1,000 words", AS_HUMAN),
}
"""Name -> measure."""


def measure(conversations: Iterable[Sequence[str]]) -> dict[str, float]:
    """All measures that are defined for a set of conversations.

    Args:
        conversations: for each, the texts of one speaker, turn by turn.
    """
    sums: Counter[str] = Counter()
    used: Counter[str] = Counter()

    def share(name: str, part_and_whole: tuple[int, int]) -> None:
        """Adds a count and its total."""
        sums[name] += part_and_whole[0]
        sums[f"{name}/"] += part_and_whole[1]

    for turns in conversations:
        for turn in turns:
            wrong = errors(turn)
            share("particle_errors", (len(wrong.particles), wrong.words))
            share("ending_errors", (len(wrong.endings), wrong.words))
            count, firsts = discourse.connectives(turn)
            share("connectives", (sum(firsts.values()), max(0, count - 1)))
            used.update(firsts)
            share("continuity", discourse.continuity(turn))
            share("repetition", discourse.repetition(turn))
            marks, words = translationese.marks(turn)
            share("translationese", (sum(marks.values()), words))
        share("return", discourse.return_of_entities(turns))
        share("repetition_over_turns", discourse.repetition_over_turns(turns))
    sums["connective_variety"], sums["connective_variety/"] = len(used), sum(used.values())
    scale = {"particle_errors": 1000, "ending_errors": 1000, "translationese": 1000, "connectives": 100}
    return {name: scale.get(name, 1) * sums[name] / sums[f"{name}/"] for name in MEASURES if sums[f"{name}/"]}
