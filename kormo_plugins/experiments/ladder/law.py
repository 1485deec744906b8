"""A scaling law of the loss in parameters, tokens and the share of synthetic text, fitted with intervals.

    L(N, D, s) = E + A / N^α + B / (D · (1 - s + η·s))^β

E, A, B, α and β are those of Hoffmann et al. 2022 (Chinchilla, arXiv 2203.15556, approach 3), fitted as there: Huber's
loss with δ = 1e-3 on log L, from a grid of starting points. η is the value of a synthetic token in tokens of human
text, analogous to the effective tokens of repeated text in Muennighoff et al. 2023 (arXiv 2305.16264); it is only
fitted if shares differ. (Besiroglu et al. 2024, arXiv 2404.10102, describe pitfalls: too small a range of sizes, an
averaged loss and thus early termination, too narrow intervals. Here the optimizer's tolerance is that of double
precision, and the intervals are as follows.)

Intervals: points of one run are correlated, so runs are resampled, not points: a wild cluster bootstrap with Webb's six
weights for few clusters (Webb 2014; Cameron, Gelbach & Miller 2008), on the residuals of each run to the law fitted
*without* it (the jackknife form of MacKinnon, Nielsen & Webb 2023). Residuals of the full fit would be too small: five
parameters can fit five runs exactly. The interval of a prediction adds the residual of one more run, drawn likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError

Vector = NDArray[np.float64]

DELTA = 1e-3
CONFIDENCE = 0.95
WEIGHTS = np.array([-np.sqrt(1.5), -1.0, -np.sqrt(0.5), np.sqrt(0.5), 1.0, np.sqrt(1.5)])
NAMES = ("E", "A", "alpha", "B", "beta", "eta")
LEAST_SIZES = 3


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation of one run.

    Args:
        run: its name; points of one run are resampled together.
        parameters, tokens: N and D at that evaluation.
        synthetic: s, from 0 to 1.
        loss: L, above 0; the law is fitted to its logarithm.
    """

    run: str
    parameters: float
    tokens: float
    synthetic: float
    loss: float


@dataclass(frozen=True)
class Law:
    """The fitted parameters, and the centres of N and D in the fit.

    Args:
        theta: log E, log A', α, log B', β, log η, with A' and B' at the centres.
        free: which of these were fitted; the others are fixed (B at 0 where all D are the same, η at 1).
    """

    theta: tuple[float, ...]
    free: tuple[bool, ...]
    centre: tuple[float, float]

    def log_loss(self, parameters: object, tokens: object, synthetic: object) -> Vector:
        """log L, elementwise."""
        terms = _terms(np.asarray(self.theta), self.centre, *map(np.asarray, (parameters, tokens, synthetic)))
        total: Vector = np.logaddexp.reduce(terms, axis=0)
        return total

    @property
    def values(self) -> dict[str, float]:
        """E, A, α, B, β and η, without those that were not fitted."""
        e, a, alpha, b, beta, eta = self.theta
        n, d = self.centre
        parameters = (np.exp(e), np.exp(a + alpha * n), alpha, np.exp(b + beta * d), beta, np.exp(eta))
        return {name: float(value) for name, value, free in zip(NAMES, parameters, self.free, strict=True) if free}


@dataclass(frozen=True)
class Prediction:
    """A loss with its interval."""

    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """A law with its bootstrap.

    Args:
        law: fitted to all points.
        replicas: laws of the bootstrap.
        residuals: of each run, log L minus that of the law fitted without it, averaged over its points.
    """

    law: Law
    replicas: tuple[Law, ...]
    residuals: tuple[float, ...]
    seed: int

    def interval(self, name: str) -> tuple[float, float]:
        """95% interval of one of `Law.values`."""
        return _percentiles([law.values[name] for law in self.replicas])

    def predict(self, parameters: float, tokens: float, synthetic: float = 0.0) -> Prediction:
        """The predicted loss of one more run, with its 95% interval."""
        where = (parameters, tokens, synthetic)
        dice = np.random.default_rng(self.seed)
        noise = dice.choice(WEIGHTS, len(self.replicas)) * dice.choice(np.array(self.residuals), len(self.replicas))
        drawn = [float(law.log_loss(*where)) for law in self.replicas] + noise
        low, high = _percentiles([float(np.exp(value)) for value in drawn])
        return Prediction(float(np.exp(self.law.log_loss(*where))), low, high)


def fit(points: Sequence[Point], replicas: int = 200, seed: int = 0) -> Fit:
    """Fits the law to these points, with a bootstrap.

    Args:
        replicas: of the bootstrap.
        seed: of the bootstrap; the fit itself is deterministic.
    Raises:
        KormoError: too few sizes or runs, or a loss that is not a number above 0.
    """
    _check(points)
    columns = [np.array([getattr(p, name) for p in points], float) for name in ("parameters", "tokens", "synthetic")]
    losses = np.log(np.array([point.loss for point in points]))
    runs, of_run = np.unique([point.run for point in points], return_inverse=True)
    law = _fitted(columns, losses, None)
    residual = np.empty_like(losses)
    for number in range(len(runs)):
        out = of_run == number
        without = _fitted([column[~out] for column in columns], losses[~out], law)
        residual[out] = losses[out] - without.log_loss(*(column[out] for column in columns))
    predicted = law.log_loss(*columns)
    dice = np.random.default_rng(seed)
    made = [
        _fitted(columns, predicted + dice.choice(WEIGHTS, len(runs))[of_run] * residual, law) for _ in range(replicas)
    ]
    means = tuple(float(residual[of_run == number].mean()) for number in range(len(runs)))
    return Fit(law, tuple(made), means, seed)


def _check(points: Sequence[Point]) -> None:
    sizes, runs = {point.parameters for point in points}, {point.run for point in points}
    bad = next((point for point in points if not (np.isfinite(point.loss) and point.loss > 0)), None)
    if bad is not None:
        raise KormoError(
            where=f"the run {bad.run}",
            found=f"a loss of {bad.loss} after {bad.tokens:g} tokens",
            why="the law is fitted to the logarithm of the loss, which must be finite and positive",
            do="exclude the run, and find out why it diverged",
        )
    if len(sizes) < LEAST_SIZES + 1 or len(points) < len(NAMES):
        raise KormoError(
            where="the points of a scaling law",
            found=f"{len(points)} of {len(sizes)} sizes in {len(runs)} runs",
            why=f"the curve over the number of parameters needs {LEAST_SIZES} sizes even when one is left out in turn",
            do="train more sizes",
        )


def _terms(theta: Vector, centre: tuple[float, float], n: Vector, d: Vector, s: Vector) -> Vector:
    """Logarithms of the law's three terms: float64 [3, points]."""
    e, a, alpha, b, beta, eta = theta
    effective = np.log(d) + np.log1p(s * np.expm1(eta)) - centre[1]
    return np.stack([np.full(n.shape, e), a - alpha * (np.log(n) - centre[0]), b - beta * effective])


@lru_cache(maxsize=1)
def _starts() -> tuple[tuple[float, ...], ...]:
    return tuple((e, a, b) for e in (0.3, 0.7) for a in (0.25, 0.7) for b in (0.25, 0.7))


def _fitted(columns: Sequence[Vector], losses: Vector, near: Law | None) -> Law:
    """Minimizes Huber's loss, starting from `near` if given, else from a grid."""
    from scipy.optimize import least_squares

    n, d, s = columns
    if near is None:
        free = np.array([True, True, True, len(set(d)) > 1, len(set(d)) > 1, len(set(s)) > 1])
        centre = (float(np.log(n).mean()), float(np.log(d).mean()))
        smallest = float(losses.min())
        starts = []
        for floor, alpha, beta in _starts():
            rest = float(losses.mean() + np.log(max(1e-9, 1 - floor * np.exp(smallest - losses.mean()))))
            half = rest - np.log(2)
            starts.append(
                np.array([smallest + np.log(floor), half, alpha, half if free[3] else -np.inf, beta * free[4], 0.0])
            )
    else:
        free, centre, starts = np.array(near.free), near.centre, [np.array(near.theta)]
    base = starts[0].copy()
    top = float(losses.max()) + 3
    low = np.array([top - 20, top - 20, 0.0, top - 20, 0.0, np.log(1e-3)])[free]
    high = np.array([top, top, 4.0, top, 4.0, np.log(1e2)])[free]

    def whole(part: Vector) -> Vector:
        """All parameters of the law, with the free ones replaced by `part`."""
        theta: Vector = base.copy()
        theta[free] = part
        return theta

    def residuals(part: Vector) -> Vector:
        """Predicted minus measured logarithm of the loss, one per point."""
        found: Vector = np.logaddexp.reduce(_terms(whole(part), centre, n, d, s), axis=0) - losses
        return found

    def slopes(part: Vector) -> Vector:
        """Derivatives of the residuals by the free parameters [points, free]."""
        theta = whole(part)
        terms = _terms(theta, centre, n, d, s)
        shares = np.exp(terms - np.logaddexp.reduce(terms, axis=0))
        effective = np.log(d) + np.log1p(s * np.expm1(theta[5])) - centre[1]
        of_eta = -theta[4] * s * np.exp(theta[5]) / (1 + s * np.expm1(theta[5]))
        columns_ = [
            shares[0], shares[1], -shares[1] * (np.log(n) - centre[0]),
            shares[2], -shares[2] * effective, shares[2] * of_eta,
        ]  # fmt: skip
        found: Vector = np.stack(columns_, axis=1)[:, free]
        return found

    huber = partial(least_squares, bounds=(low, high), jac=slopes, loss="huber", f_scale=DELTA, x_scale=1.0)
    tolerance = 1e-12 if near is None else 1e-8
    best = None
    for start in starts:
        at = np.clip(start[free], low + 1e-9, high - 1e-9)
        found = huber(residuals, at, ftol=tolerance, xtol=tolerance, gtol=tolerance, max_nfev=200)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return Law(tuple(map(float, whole(best.x))), tuple(map(bool, free)), centre)


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(values, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return float(low), float(high)
