"""What `ablation.json`, `ladder.json` and `predictions.jsonl` hold: written by experiments, shown by reports."""

from __future__ import annotations

from typing import NotRequired, TypedDict

CELL = "cell.json"
"""File in the folder of an ablation's or ladder's run: which it is, and its seconds; no part of the model."""


class Comparison(TypedDict):
    """A variant less the baseline, paired by seed; None where fewer than two seeds are there for both."""

    pairs: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None


class Summary(TypedDict):
    """Mean and standard deviation over `n` seeds; None: no seed, or one."""

    mean: float | None
    sd: float | None
    n: int


class Row(Summary):
    """A variant in one measure, and against the baseline."""

    against: NotRequired[Comparison]


class MeasureRecord(TypedDict):
    """What is compared: the mean of the `last` values of a metric, and which is `better`."""

    metric: str
    better: str
    last: int


class CellRecord(TypedDict):
    """One variant with one seed, and what became of it."""

    variant: str
    seed: int
    hash: str
    folder: str
    state: str
    seconds: float
    measures: dict[str, float]
    reason: str


class AblationRecord(TypedDict):
    """`ablation.json`. `table`: measure -> variant -> row; `variants`: name -> the keys that it changes."""

    ablation: str
    question: str
    base: str
    baseline: str
    measures: dict[str, MeasureRecord]
    variants: dict[str, dict[str, object]]
    cells: list[CellRecord]
    table: dict[str, dict[str, Row]]


class LawRecord(TypedDict):
    """A fitted law.

    Args:
        values: name -> value and its 95% interval.
        theta: the logarithms that were fitted; None: minus infinity.
        free: which of them were fitted.
        centre: mean logarithms of parameters and tokens.
    """

    values: dict[str, list[float]]
    theta: list[float | None]
    free: list[bool]
    centre: list[float]


class PredictedLoss(TypedDict):
    """The loss after so many tokens, with its 95% interval."""

    tokens: int
    loss: float
    low: float
    high: float


class Prediction(TypedDict):
    """What is predicted of a run, and from what.

    Args:
        target: hash of the cell.
        inputs: hash of the points that it was made from; `runs` and `points` say how many.
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
    """A line of `predictions.jsonl`: when it was written, and the hashes that tie it to the line before.

    `before`: it was written before the run logged anything (added when the ladder is recorded).
    """

    time: str
    previous: str
    sha256: str
    before: NotRequired[bool]


class RungRecord(TypedDict):
    """One run of a ladder. `points`: tokens and loss of each evaluation; `target`: it is predicted, not fitted."""

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
