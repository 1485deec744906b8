"""Statistics of the cells: mean and spread over seeds, and a paired test against the baseline.

Cells of one seed share their data order and their initial weights (where the shapes are the same), so variants are
compared seed by seed: the differences d_i are tested against zero with Student's t (n - 1 degrees of freedom). With
three seeds only effects that are large compared with their spread are detected; the interval bounds the others.
Several variants against one baseline are several tests: p-values are also given after Holm's correction (1979).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kormo_plugins.measures.experiments import Row, Summary

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline in one measure; a difference is variant minus baseline.

    `low` and `high` are the 95% interval of the mean difference; `p` is two-sided, `p_holm` is corrected over the
    variants. All four are None with fewer than two common seeds.
    """

    pairs: int
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None


def summary(values: Sequence[float]) -> Summary:
    """`mean`, `sd` (n - 1; None for one value) and `n`."""
    n = len(values)
    mean = math.fsum(values) / n
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else None
    return {"mean": mean, "sd": sd, "n": n}


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Comparison | None:
    """The comparison over the common seeds; None if there are none.

    Args:
        values, baseline: seed -> measure.
    """
    seeds = sorted(set(values) & set(baseline))
    if not seeds:
        return None
    differences = [values[seed] - baseline[seed] for seed in seeds]
    statistics = summary(differences)
    mean, sd, n = statistics["mean"] or 0.0, statistics["sd"], len(differences)
    if sd is None:
        return Comparison(n, mean)
    if sd == 0.0:  # all differences are equal: t is infinite, or there is no difference
        return Comparison(n, mean, mean, mean, 1.0 if mean == 0.0 else 0.0)
    from scipy import stats

    error = sd / math.sqrt(n)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    return Comparison(n, mean, mean - reach, mean + reach, float(2 * stats.t.sf(abs(mean / error), n - 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: adjusted p-values, in the given order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = least
    return corrected


def compare(results: Mapping[str, Mapping[int, float]], baseline: str) -> dict[str, Row]:
    """Compares one measure of all variants.

    Args:
        results: variant -> seed -> value; without untrained seeds.
    Returns:
        variant -> `mean`, `sd`, `n`, and `against` (a `Comparison`'s fields) for all but the baseline.
    """
    table: dict[str, Row] = {}
    against = {name: paired(values, results[baseline]) for name, values in results.items() if name != baseline}
    tested = [name for name, comparison in against.items() if comparison is not None and comparison.p is not None]
    corrected = dict(zip(tested, holm([float(against[n].p) for n in tested]), strict=True))  # type: ignore[union-attr, arg-type]
    for name, values in results.items():
        found_values = list(values.values())
        statistics = summary(found_values) if found_values else Summary(mean=None, sd=None, n=0)
        row = Row(mean=statistics["mean"], sd=statistics["sd"], n=statistics["n"])
        comparison = against.get(name)
        if comparison is not None:
            row["against"] = {
                "pairs": comparison.pairs,
                "difference": comparison.difference,
                "low": comparison.low,
                "high": comparison.high,
                "p": comparison.p,
                "p_holm": corrected.get(name),
            }
        table[name] = row
    return table
