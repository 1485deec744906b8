"""Means with intervals, agreement, and the length-controlled win rate.

- Intervals are bootstrapped over *questions*: turns and repetitions of one question are not independent (Efron 1979;
  percentiles, seeded).
- Agreement is Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"), which takes
  missing values: 1 is full agreement, 0 what chance gives. Scores are intervals; winners are names.
- The length-controlled win rate is what a logistic model of the win, with the difference in length as its second input,
  says for a difference of none (the idea of Dubois et al., arXiv 2404.04475, without their terms for instructions).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from kormo_plugins.measures.scores import Interval

RESAMPLES = 2000
LEVEL = 0.95
SEED = 900_000_021
"""Seeds from 900,000,000 on are for evaluation."""


def mean_with_interval(groups: Sequence[Sequence[float]]) -> Interval:
    """Mean of the groups' means, with its bootstrapped 95% interval over groups: `mean`, `low`, `high`, `n`.

    Args:
        groups: values of each question; questions without a value are left out and not counted in `n`.
    """
    means = np.array([np.mean(one) for one in groups if len(one)])
    if not len(means):
        return {"mean": None, "low": None, "high": None, "n": 0}
    drawn = np.random.default_rng(SEED).integers(0, len(means), (RESAMPLES, len(means)))
    low, high = np.quantile(means[drawn].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"mean": float(means.mean()), "low": float(low), "high": float(high), "n": len(means)}


def alpha(units: Sequence[Sequence[float | str]], level: Literal["interval", "nominal"]) -> float | None:
    """Krippendorff's alpha of several judgements of each unit; None: fewer than two units have two judgements.

    Args:
        units: the judgements of each unit, in any number; units with fewer than two say nothing.
        level: `interval` for numbers, `nominal` for names.
    """
    paired = [list(one) for one in units if len(one) > 1]
    if len(paired) < 2:
        return None
    values = [value for one in paired for value in one]
    if len(set(values)) == 1:
        return 1.0  # nobody ever differed
    total = len(values)
    observed = sum(_disagreement(one, level) / (len(one) - 1) for one in paired) / total
    expected = _disagreement(values, level) / (total * (total - 1))
    return 1.0 - observed / expected


def _disagreement(values: Sequence[float | str], level: str) -> float:
    """Sum of the distances over all ordered pairs of different places."""
    if level == "interval":
        numbers = np.array(values, dtype=float)
        return float(2 * (len(numbers) * (numbers**2).sum() - numbers.sum() ** 2))
    counts = Counter(values)
    return float(len(values) ** 2 - sum(count**2 for count in counts.values()))


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Rank correlation; None where one of the two never varies, or there are fewer than three pairs."""
    from scipy.stats import spearmanr

    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    return float(spearmanr(first, second).statistic)


def length_controlled(wins: Sequence[float], differences: Sequence[float]) -> float | None:
    """The win rate that is left when both answers are of one length; None: fewer than eight pairs.

    Args:
        wins: 1, 0.5 or 0 for the evaluated model.
        differences: log of its length over the other's.
    """
    from scipy.optimize import minimize

    if len(wins) < 8:
        return None
    won, size = np.array(wins, dtype=float), np.array(differences, dtype=float)
    spread = float(size.std())
    if spread < 1e-9:
        return float(won.mean()) if abs(float(size.mean())) < 1e-9 else None
    scaled = np.tanh(size / spread)

    def loss(weights: np.ndarray) -> float:
        """Mean negative log-likelihood of a logistic regression of the wins, plus a ridge; `weights` is [bias,
        length]."""
        logits = weights[0] + weights[1] * scaled
        ridge = 0.05 * float(weights @ weights) / 2  # keeps a model that always wins finite
        return float((np.logaddexp(0, logits) - won * logits).mean()) + ridge / len(won)

    found = minimize(loss, np.zeros(2), method="BFGS")
    return float(1 / (1 + np.exp(-found.x[0])))


def summary(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Means of what is not empty."""
    return {name: float(np.mean(one)) for name, one in values.items() if len(one)}
