"""Tests of a judge: planted pairs of answers with a known order, and its position and length bias.

    wrong       the good answer to another question: fluent, but off topic
    shuffled    the words of the good answer in another order
    empty       no answer
    halved      the first half of the good answer

Each damaged answer is compared with the good one, in both orders; the share that the good one wins is the judge's
*accuracy*. Then, between answers of equal quality:

    position    an answer against itself: any winner is a bias; and wins of the first position minus those of
                the second, over all decisive verdicts about two different answers in both orders
    length      the good answer against itself with true but useless filler appended: wins of the longer one

(Position and length bias of language models as judges: Zheng et al., arXiv 2306.05685; Wang et al., arXiv 2305.17926.)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from kormo_plugins.evaluation.judged.prompts import pair
from kormo_plugins.evaluation.judged.questions import Question, own_questions
from kormo_plugins.evaluation.judged.statistics import mean_with_interval
from kormo_plugins.evaluation.judged.verdicts import Asked, Verdict, about
from kormo_plugins.measures.scores import JudgeCheck
from kormo_plugins.store.keyed_random import KeyedRandom

FILE = Path(__file__).with_name("planted.yml")
DAMAGES = ("wrong", "shuffled", "empty", "halved")
SEED = 900_000_022
CHANCE = 0.5
MAX_UNREAD, MAX_POSITION, MAX_LONGER = 0.1, 0.5, 0.8
"""Thresholds of a warning: share of unparsable verdicts, position bias in either direction, and share of wins of the
answer with filler. [ours] coarse: a good judge stays far below."""

SHOWN = {
    "accuracy": ("planted better answer preferred", "100%"),
    "accuracy_wrong": ("… over a wrong one", "100%"),
    "accuracy_shuffled": ("… over a shuffled one", "100%"),
    "accuracy_empty": ("… over an empty one", "100%"),
    "accuracy_halved": ("… over half of it", "100%"),
    "first": ("an answer beats itself in the first place", "0%"),
    "second": ("an answer beats itself in the second place", "0%"),
    "position": ("position bias: wins of the first position minus the second", "0%"),
    "longer": ("length bias: wins of the answer with filler, where decided", "50% or less"),
    "longer_tie": ("the answer with filler ties with the plain one", "any"),
}
"""Key of `report` -> its label, and its value for a good judge."""


@dataclass(frozen=True)
class Probe:
    """Two answers to a question, of which `better` is the better one (for `same` and `longer`: the plain one)."""

    kind: str
    question: Question
    better: str
    worse: str


def probes() -> list[Probe]:
    """All planted pairs, in a fixed order."""
    planted = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    questions = {one.id: one for one in own_questions()}
    good: dict[str, str] = planted["answers"]
    all_probes = []
    for number, (name, answer) in enumerate(good.items()):
        question = questions[name]
        alike = [one for one in good if questions[one].language == question.language]
        other = good[alike[(alike.index(name) + 1) % len(alike)]]
        words = answer.split()
        damaged = {
            "wrong": other,
            "shuffled": " ".join(KeyedRandom(SEED, number).some(words, len(words))),
            "empty": "",
            "halved": answer[: len(answer) // 2],
            "same": answer,
            "longer": f"{answer} {planted['filler'][question.language]}",
        }
        all_probes += [Probe(kind, question, answer, text) for kind, text in damaged.items()]
    return all_probes


def questions_to_judge(planted: Sequence[Probe]) -> list[Asked]:
    """Every pair in both orders (an answer against itself in one order); the question id is the probe's index."""
    questions = []
    for number, probe in enumerate(planted):
        for swapped in (False, True)[: 1 if probe.kind == "same" else 2]:
            first, second = (probe.worse, probe.better) if swapped else (probe.better, probe.worse)
            one = about(probe.question, 0, pair(probe.question, [first], [second], 0), 0, "pair", swapped)
            questions.append(Asked(str(number), one.kind, 0, swapped, 0, one.messages))
    return questions


def report(planted: Sequence[Probe], verdicts: Sequence[Verdict]) -> JudgeCheck:
    """Summarizes the judge's verdicts on the planted pairs: shares from 0 to 1, and counts.

    Returns:
        `accuracy` for each damage and over all of them (a tie is half right); `first` and `second`, shares of an answer
        against itself that either place won; `position`, wins of the first place less those of the second, over
        decisive verdicts of planted pairs in both orders (0: none); `longer`, share of filler's wins among decisive
        verdicts (0.5 where it never decides), `longer_tie`; `unread`, verdicts that cannot be read.
    """
    rows = [(planted[int(one.question)], one) for one in verdicts]
    readable = [(probe, one) for probe, one in rows if one.winner is not None]
    scores: dict[str, list[float]] = {kind: [] for kind in DAMAGES}
    for probe, one in readable:
        if probe.kind in scores and one.won is not None:
            scores[probe.kind].append(one.won)
    every = [value for values in scores.values() for value in values]
    same = Counter(one.winner for probe, one in readable if probe.kind == "same")
    longer = [1.0 - one.won for probe, one in readable if probe.kind == "longer" and one.won is not None]
    decisive = [value for value in longer if value != 0.5]
    placed = Counter(one.winner for probe, one in readable if probe.kind != "same" and one.winner != "C")
    return {
        "accuracy": _mean(every),
        **{f"accuracy_{kind}": _mean(values) for kind, values in scores.items()},
        "first": _share(same["A"], sum(same.values())),
        "second": _share(same["B"], sum(same.values())),
        "position": _share(placed["A"] - placed["B"], placed["A"] + placed["B"]),
        "longer": _mean(decisive) if decisive else (0.5 if longer else None),
        "longer_tie": _share(len(longer) - len(decisive), len(longer)),
        "pairs": len(rows),
        "unread": len(rows) - len(readable),
    }


def doubts(planted: Sequence[Probe], verdicts: Sequence[Verdict], found: JudgeCheck) -> list[str]:
    """Reasons to distrust this judge's scores, one sentence each; empty for a judge that passed.

    Args:
        found: result of `report` for these verdicts.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for one in verdicts:
        probe = planted[int(one.question)]
        if probe.kind in DAMAGES and one.won is not None:
            groups[probe.question.id].append(one.won)
    interval = mean_with_interval(list(groups.values()))
    mean, low, high = interval["mean"], interval["low"], interval["high"]
    messages: list[str] = []
    if mean is None or low is None or high is None:
        messages.append("this judge cannot be tested: none of its verdicts about planted answers can be read")
    elif low <= CHANCE:
        messages.append(
            f"this judge does not tell better from worse: it preferred the better of two planted answers in "
            f"{mean:.0%} of its readable verdicts (95% interval {low:.0%} to {high:.0%}; guessing gives {CHANCE:.0%})"
        )
    unread, pairs = found["unread"] or 0, found["pairs"] or 0
    if unread > MAX_UNREAD * pairs:
        messages.append(f"{unread:,} of its {pairs:,} verdicts about planted answers cannot be read")
    position, longer = found["position"], found["longer"]
    if position is not None and abs(position) >= MAX_POSITION:
        messages.append(f"it prefers a position: wins of the first position minus the second are {position:+.0%}")
    if longer is not None and longer >= MAX_LONGER:
        messages.append(
            f"it prefers longer answers: the same answer with useless filler won {longer:.0%} of its decisions"
        )
    return messages


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
