"""Aggregates verdicts: scores of single answers, win rates of pairs, and their reliability."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from kormo_plugins.evaluation.judged.answers import Answered
from kormo_plugins.evaluation.judged.statistics import alpha, length_controlled, mean_with_interval, spearman
from kormo_plugins.evaluation.judged.verdicts import Verdict
from kormo_plugins.measures.scores import Interval, PairResult, SingleResult


def single_result(answered: Sequence[Answered], verdicts: Sequence[Verdict]) -> SingleResult:
    """Scores from 1 to 10 with intervals over questions: all, by category, language and turn; agreement between
    repetitions (Krippendorff, interval); rank correlation of score and length; excluded verdicts by reason.
    """
    scores: dict[tuple[str, int], list[float]] = defaultdict(list)
    for one in verdicts:
        if one.score is not None:
            scores[one.question, one.turn].append(one.score)

    def interval(chosen: Sequence[Answered], turns: Sequence[int] | None = None) -> Interval:
        """Mean score of some questions with its 95% interval; each question is a cluster, since its turns are not
        independent."""
        groups = [
            [
                sum(scores[a.question.id, turn]) / len(scores[a.question.id, turn])
                for turn in range(len(a.answers))
                if (turns is None or turn in turns) and scores[a.question.id, turn]
            ]
            for a in chosen
        ]
        return mean_with_interval(groups)

    longest = max(len(one.answers) for one in answered)
    lengths = [
        (math.log(1 + len(one.answers[turn])), sum(scores[one.question.id, turn]) / len(scores[one.question.id, turn]))
        for one in answered
        for turn in range(len(one.answers))
        if scores[one.question.id, turn]
    ]
    return {
        **interval(answered),
        "by_category": {
            name: interval([one for one in answered if one.question.category == name])
            for name in dict.fromkeys(one.question.category for one in answered)
        },
        "by_language": {
            name: interval([one for one in answered if one.question.language == name])
            for name in sorted({one.question.language for one in answered})
        },
        "by_turn": {str(turn + 1): interval(answered, [turn]) for turn in range(longest)},
        "alpha": alpha(list(scores.values()), "interval"),
        "length_correlation": spearman([one[1] for one in lengths], [one[0] for one in lengths]),
        "verdicts": len(verdicts),
        "not_counted": _not_counted(verdicts),
    }


def pair_result(
    answered: Sequence[Answered], others: Mapping[str, Sequence[str]], verdicts: Sequence[Verdict], against: str
) -> PairResult:
    """Comparison with the model of the file `against`: win rate (a tie is half a win) with its interval over questions,
    length-controlled win rate, agreement between orders and repetitions (Krippendorff, nominal), share of pairs with
    the same verdict in both orders, and wins of the first position minus those of the second.
    """
    won: dict[tuple[str, int], list[float]] = defaultdict(list)
    orders: dict[tuple[str, int, int], dict[bool, float]] = defaultdict(dict)
    for one in verdicts:
        if one.won is not None:
            won[one.question, one.turn].append(one.won)
            orders[one.question, one.turn, one.repeat][one.swapped] = one.won
    groups = [[v for turn in range(len(a.answers)) for v in won[a.question.id, turn]] for a in answered]
    both = [one for one in orders.values() if len(one) == 2]
    placed = Counter(one.winner for one in verdicts if one.winner in ("A", "B"))
    counted = Counter(value for values in won.values() for value in values)
    wins, differences = [], []
    for conversation in answered:
        name = conversation.question.id
        for turn, answer in enumerate(conversation.answers):
            for value in won[name, turn]:
                wins.append(value)
                differences.append(math.log((1 + len(answer)) / (1 + len(others[name][turn]))))
    return {
        "against": against,
        **mean_with_interval(groups),
        "wins": counted[1.0],
        "ties": counted[0.5],
        "losses": counted[0.0],
        "length_controlled": length_controlled(wins, differences),
        "alpha": alpha([[str(v) for v in values] for values in won.values()], "nominal"),
        "same_in_both_orders": sum(one[False] == one[True] for one in both) / len(both) if both else None,
        "position": (placed["A"] - placed["B"]) / sum(placed.values()) if placed else None,
        "verdicts": len(verdicts),
        "not_counted": _not_counted(verdicts),
    }


def _not_counted(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Number of verdicts excluded from the means, by reason."""
    return dict(sorted(Counter(one.reason for one in verdicts if one.reason).items()))
