"""Schema of `evaluation.json`: the rows written by evaluation and shown in tables, pages and model cards.

Shares are from 0 to 1; published scores are percent, as their authors report them.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Score(TypedDict):
    """A value and its standard error; None if there is none."""

    value: float
    stderr: float | None


class TaskRow(TypedDict):
    """Result of one task.

    Args:
        hash: of its requests and its scoring.
        metrics: `metric,filter` -> score.
        n: number of items; `shots` examples before each, at most `limit` items.
        cut: prompts that were truncated at the beginning.
        version, harness: versions of the task file and of the harness.
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
        chance: score of random guessing.
        published: model -> score.
        why, unverified: the suite's notes on the line.
        stops: share of the answers that ended with a stop token.
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
    """Needles at one depth (percent) of haystacks of one length (tokens): shares found by choice and by generation."""

    language: str
    length: int
    depth: int
    choice: float
    generated: float


class NeedleRecord(TypedDict):
    """The latest needle-in-a-haystack result; `tries` needles per cell."""

    cells: list[NeedleCell]
    lengths: tuple[int, ...]
    depths: tuple[int, ...]
    tries: int
    chance: float
    haystack: str
    published: dict[str, float]


class Interval(TypedDict):
    """A mean with its 95% interval over `n` questions; None if there is none."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


class SingleResult(Interval):
    """Scores from 1 to 10 for single answers.

    Args:
        alpha: agreement between repetitions (Krippendorff).
        length_correlation: rank correlation of score and length.
        verdicts: number given; `not_counted` of them enter no mean, by reason.
    """

    by_category: dict[str, Interval]
    by_language: dict[str, Interval]
    by_turn: dict[str, Interval]
    alpha: float | None
    length_correlation: float | None
    verdicts: int
    not_counted: dict[str, int]


class PairResult(Interval):
    """Win rate against another model; a tie counts as half a win.

    Args:
        against: the other model's answers.
        length_controlled: the win rate at equal length.
        same_in_both_orders: share of the pairs with one verdict in both orders.
        position: position bias: wins of the first answer minus wins of the second, as a share.
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
    """Description of a measure, and which direction is better."""

    title: str
    better: str


class Nativeness(TypedDict):
    """Judge-free measures of Korean text: name -> description, and text -> measure -> value."""

    measures: dict[str, MeasureName]
    texts: dict[str, dict[str, float]]


class JudgeSettings(TypedDict):
    """The judge model and its settings."""

    name: str
    layout: str
    repeats: int
    temperature: float
    questions: int


JudgeCheck = dict[str, float | int | None]
"""A judge's verdicts on planted answers; see `evaluation.judged.probes.report`."""


class JudgedResult(TypedDict):
    """Result of a judged suite.

    Args:
        unanswered, cut: turns without an answer, and answers truncated at the length limit.
        controls: language -> control -> mean.
        judge_doubts: problems that the judge's own test found.
        judge, judge_check, single, pairs, published: only if a judge was used.
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
    """The evaluated model: folder, hash of the weights, family, and its maximum declared sequence length."""

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
