"""Means with confidence intervals, agreement, and the length-controlled win rate.

- Intervals are bootstrapped over *questions*: turns and repetitions of one question are not independent (Efron 1979;
  percentiles, seeded).
- Agreement is Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"), which handles
  missing values: 1 is full agreement, 0 is chance. Scores are interval data, winners are nominal.
- The length-controlled win rate is the prediction of a logistic regression of the win on the difference in length, at a
  difference of zero (after Dubois et al., arXiv 2404.04475, without their instruction terms).
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
"""Seeds from 900,000,000 are reserved for evaluation."""


def mean_with_interval(groups: Sequence[Sequence[float]]) -> Interval:
    """Mean of the groups' means, with its bootstrapped 95% interval over groups: `mean`, `low`, `high`, `n`.

    Args:
        groups: values of each question; questions without values are ignored and not counted in `n`.
    """
    means = np.array([np.mean(one) for one in groups if len(one)])
    if not len(means):
        return {"mean": None, "low": None, "high": None, "n": 0}
    drawn = np.random.default_rng(SEED).integers(0, len(means), (RESAMPLES, len(means)))
    low, high = np.quantile(means[drawn].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"mean": float(means.mean()), "low": float(low), "high": float(high), "n": len(means)}


def alpha(units: Sequence[Sequence[float | str]], level: Literal["interval", "nominal"]) -> float | None:
    """Krippendorff's alpha; None: fewer than two units have two judgements.

    Args:
        units: the judgements of each unit, any number; units with fewer than two are ignored.
        level: `interval` for numbers, `nominal` for categories.
    """
    paired = [list(one) for one in units if len(one) > 1]
    if len(paired) < 2:
        return None
    values = [value for one in paired for value in one]
    if len(set(values)) == 1:
        return 1.0  # all judgements are equal
    total = len(values)
    observed = sum(_disagreement(one, level) / (len(one) - 1) for one in paired) / total
    expected = _disagreement(values, level) / (total * (total - 1))
    return 1.0 - observed / expected


def _disagreement(values: Sequence[float | str], level: str) -> float:
    """Sum of the distances over all ordered pairs of different indices."""
    if level == "interval":
        numbers = np.array(values, dtype=float)
        return float(2 * (len(numbers) * (numbers**2).sum() - numbers.sum() ** 2))
    counts = Counter(values)
    return float(len(values) ** 2 - sum(count**2 for count in counts.values()))


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation; None: one side is constant, or fewer than three pairs."""
    from scipy.stats import spearmanr

    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    return float(spearmanr(first, second).statistic)


def length_controlled(wins: Sequence[float], differences: Sequence[float]) -> float | None:
    """Predicted win rate for answers of equal length; None: fewer than eight pairs.

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
        ridge = 0.05 * float(weights @ weights) / 2  # keeps the weights finite when all pairs are wins
        return float((np.logaddexp(0, logits) - won * logits).mean()) + ridge / len(won)

    fit = minimize(loss, np.zeros(2), method="BFGS")
    return float(1 / (1 + np.exp(-fit.x[0])))


def summary(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Means of the non-empty lists."""
    return {name: float(np.mean(one)) for name, one in values.items() if len(one)}
