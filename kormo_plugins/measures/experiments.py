"""Schemas of `ablation.json`, `ladder.json` and `predictions.jsonl`: written by experiments, shown by reports."""

from __future__ import annotations

from typing import NotRequired, TypedDict

CELL = "cell.json"
"""File in the run folder of an ablation or ladder: which cell it is, and its seconds; not part of the model."""


class Comparison(TypedDict):
    """Difference of a variant from the baseline, paired by seed; None if fewer than two seeds are common to both."""

    pairs: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None


class Summary(TypedDict):
    """Mean and standard deviation over `n` seeds; None for no seed, or for one."""

    mean: float | None
    sd: float | None
    n: int


class Row(Summary):
    """One variant in one measure, and its comparison with the baseline."""

    against: NotRequired[Comparison]


class MeasureRecord(TypedDict):
    """A compared measure: the mean of the `last` values of a metric, and which direction is `better`."""

    metric: str
    better: str
    last: int


class CellRecord(TypedDict):
    """One variant with one seed, and its outcome."""

    variant: str
    seed: int
    hash: str
    folder: str
    state: str
    seconds: float
    measures: dict[str, float]
    reason: str


class AblationRecord(TypedDict):
    """`ablation.json`. `table`: measure -> variant -> row; `variants`: name -> the keys that it overrides.

    Args:
        warnings: what makes the comparison doubtful; missing in records of before.
    """

    ablation: str
    question: str
    base: str
    baseline: str
    measures: dict[str, MeasureRecord]
    variants: dict[str, dict[str, object]]
    cells: list[CellRecord]
    table: dict[str, dict[str, Row]]
    warnings: NotRequired[list[str]]


class LawRecord(TypedDict):
    """A fitted law.

    Args:
        values: name -> value and its 95% interval.
        theta: fitted logarithms; None: minus infinity.
        free: names of the fitted parameters.
        centre: mean logarithms of parameters and tokens.
    """

    values: dict[str, list[float]]
    theta: list[float | None]
    free: list[bool]
    centre: list[float]


class PredictedLoss(TypedDict):
    """Predicted loss after a number of tokens, with its 95% interval."""

    tokens: int
    loss: float
    low: float
    high: float


class Prediction(TypedDict):
    """A prediction for a run, and its inputs.

    Args:
        target: hash of the predicted cell.
        inputs: hash of the points it was fitted to; `runs` and `points` are their counts.
    """

    target: str
    size: str
    seed: int
    parameters: int
    synthetic: float
    metric: str
    at: list[PredictedLoss]
    law: LawRecord
    inputs: str
    runs: list[str]
    points: int
    machine: str


class PredictionLine(Prediction):
    """A line of `predictions.jsonl`: its timestamp, and the hashes that chain it to the previous line.

    `before`: the line was written before the run logged anything (added when the ladder is recorded).
    """

    time: str
    previous: str
    sha256: str
    before: NotRequired[bool]


class RungRecord(TypedDict):
    """One run of a ladder. `points`: tokens and loss of each evaluation; `target`: predicted instead of fitted."""

    size: str
    name: str
    seed: int
    synthetic: float
    parameters: int
    target: bool
    hash: str
    folder: str
    points: list[tuple[int, float]]
    state: str
    seconds: float
    reason: str


class LadderRecord(TypedDict):
    """`ladder.json`."""

    ladder: str
    question: str
    base: str
    metric: str
    law: LawRecord | None
    predictions: list[PredictionLine]
    runs: list[RungRecord]
