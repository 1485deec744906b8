"""What `evaluation.json` holds: the rows that evaluation writes, and that tables, pages and model cards show.

Shares are from 0 to 1; published scores are percent, as their authors report them.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Score(TypedDict):
    """A value and its standard error; None where there is none."""

    value: float
    stderr: float | None


class TaskRow(TypedDict):
    """One task that was run.

    Args:
        hash: of its requests and of how they are scored.
        metrics: `metric,filter` -> score.
        n: items; `shots` examples before each, at most `limit` items.
        cut: prompts that lost their beginning.
        version, harness: of the task's file and of the harness.
    """

    task: str
    hash: str
    metrics: dict[str, Score]
    n: int
    shots: int
    limit: int | None
    chat: bool
    cut: int
    dataset: str
    version: object
    harness: str


class SuiteRow(TypedDict):
    """A line of a suite: one metric over all its tasks.

    Args:
        chance: the score of a guess.
        published: model -> score.
        why, unverified: what the suite says of the line.
        stops: share of the answers that end by themselves.
    """

    suite: str
    task: str
    metric: str
    value: float
    stderr: float | None
    n: int
    shots: int | None
    limit: int | None
    chat: bool
    cut: int
    chance: float | None
    published: dict[str, float]
    why: str
    unverified: str
    harness: str
    stops: NotRequired[float]


class NeedleCell(TypedDict):
    """Needles at one depth (percent) of haystacks of one length (tokens): shares found by choice, and written."""

    language: str
    length: int
    depth: int
    choice: float
    generated: float


class NeedleRecord(TypedDict):
    """The latest needle in a haystack; `tries` needles in each cell."""

    cells: list[NeedleCell]
    lengths: tuple[int, ...]
    depths: tuple[int, ...]
    tries: int
    chance: float
    haystack: str
    published: dict[str, float]


class Interval(TypedDict):
    """A mean with its 95% interval over `n` questions; None: there is none."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


class SingleResult(Interval):
    """Scores from 1 to 10 of single answers.

    Args:
        alpha: agreement between repetitions (Krippendorff).
        length_correlation: rank correlation of score and length.
        verdicts: all that were given; `not_counted` of them are in no mean, by reason.
    """

    by_category: dict[str, Interval]
    by_language: dict[str, Interval]
    by_turn: dict[str, Interval]
    alpha: float | None
    length_correlation: float | None
    verdicts: int
    not_counted: dict[str, int]


class PairResult(Interval):
    """Wins against another model, a tie being half a win.

    Args:
        against: the other model's answers.
        length_controlled: the win rate at equal length.
        same_in_both_orders: share of the pairs with one verdict in both orders.
        position: wins of the first place less those of the second, as a share.
    """

    against: str
    wins: int
    ties: int
    losses: int
    length_controlled: float | None
    alpha: float | None
    same_in_both_orders: float | None
    position: float | None
    verdicts: int
    not_counted: dict[str, int]


class MeasureName(TypedDict):
    """What a number says, and which is better."""

    title: str
    better: str


class Nativeness(TypedDict):
    """Measures of Korean text without a judge: name -> what it says, and text -> measure -> value."""

    measures: dict[str, MeasureName]
    texts: dict[str, dict[str, float]]


class JudgeSettings(TypedDict):
    """Who judged, and how."""

    name: str
    layout: str
    repeats: int
    temperature: float
    questions: int


JudgeCheck = dict[str, float | int | None]
"""What a judge did with planted answers; see `evaluation.judged.probes.report`."""


class JudgedResult(TypedDict):
    """A judged suite.

    Args:
        unanswered, cut: turns without an answer, and answers cut at their longest.
        controls: language -> control -> mean.
        judge_doubts: what the judge's own test says against it.
        judge, judge_check, single, pairs, published: only where a judge was asked.
    """

    suite: str
    title: str
    questions: str
    questions_hash: str
    conversations: int
    model: str
    answers: dict[str, object]
    unanswered: int
    cut: int
    controls: dict[str, dict[str, float]]
    nativeness: Nativeness | None
    judge: JudgeSettings | None
    judge_check: NotRequired[JudgeCheck | None]
    judge_doubts: NotRequired[list[str]]
    single: NotRequired[SingleResult]
    pairs: NotRequired[PairResult]
    published: NotRequired[dict[str, float]]


class ModelRecord(TypedDict):
    """Whose scores they are: folder, hash of the weights, family, and the longest sequence that it is declared for."""

    path: str
    hash: str
    family: str
    chat: bool
    positions: int | None


class EvaluationRecord(TypedDict, total=False):
    """The whole file."""

    format: int
    kormo_plugins: str
    model: ModelRecord
    tasks: list[TaskRow]
    results: list[SuiteRow]
    needle: NeedleRecord | None
    judged: dict[str, JudgedResult]
