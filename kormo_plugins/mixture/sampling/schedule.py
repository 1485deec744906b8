"""The number of rows of each source before a given step: c_s(k) for source s and step k.

With rates r_s that sum to 1 and B rows per step, n = kB rows come before step k, and source s should have contributed
r_s n of them. The integers c_s(k) must satisfy three conditions: they sum to n, each is within one row of r_s n, and
none ever decreases. Rounding each target separately, or the cumulative sums of the targets, violates the third.

Each row is therefore treated as a job. Row j of source s may run once r_s n > j, and must have run when r_s n >= j + 1;
a step runs B jobs. A schedule that meets these deadlines is within one row of every share. One exists (Tijdeman 1980,
"The chairman assignment problem"; Baruah et al. 1996, "Proportionate progress"), and earliest deadline first finds it,
because all jobs have the same length. A step costs O(sources log sources), no data is read, and the counts are cached
every `EVERY` steps: going to step 1,000,000 of a run with 20 sources takes well under a second, once.

Stages begin at a step. Within each, the counts start from zero with that stage's rates and are added to the final
counts of the preceding stages, so a change of weights neither repeats nor skips a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.kernels import SLACK, advance
from kormo_plugins.mixture.params import WeightedParams
from kormo_plugins.mixture.sampling.weights import shares

EVERY = 64
"""Steps between cached counts."""


@dataclass(frozen=True, slots=True)
class SourceSize:
    """The size of a source: rows of its plan, and tokens placed in them."""

    rows: int
    tokens: int


class Mixing(Protocol):
    """A schedule, created by a mixing component."""

    def counts(self, step: int) -> NDArray[np.int64]:
        """Rows of each source, in order of name, before `step`; int64 [sources]. They sum to step times the global
        batch and never decrease."""

    def stages(self) -> list[dict[str, Any]]:
        """`from_step` and `shares` (source -> share of tokens) of each stage."""


class Weighted:
    """The mixing `weighted`: exact shares by stage.

    Args:
        names: the sources, sorted.
        starts: first step of each stage, the first one 0.
        rates: rows of each source per row of the run, one float64 [sources] per stage.
        token_shares: the token shares that the rates correspond to, one mapping per stage.
        batch: rows per step.
    """

    def __init__(
        self,
        names: Sequence[str],
        starts: Sequence[int],
        rates: Sequence[NDArray[np.float64]],
        token_shares: Sequence[Mapping[str, float]],
        batch: int,
    ) -> None:
        self.names, self.starts, self.batch = list(names), list(starts), batch
        self._rates, self._shares = list(rates), [dict(s) for s in token_shares]
        zero = np.zeros(len(names), np.int64)
        self._kept: list[list[NDArray[np.int64]]] = [[zero] for _ in starts]
        self._base: list[NDArray[np.int64]] = [zero]
        self._last = (0, 0, zero.copy())  # stage, local step, local counts

    def counts(self, step: int) -> NDArray[np.int64]:
        """Rows of each source before `step`; int64 [sources], in the order of `names`."""
        stage = int(np.searchsorted(self.starts, step, "right")) - 1
        while len(self._base) <= stage:
            done = len(self._base) - 1
            self._base.append(self._base[done] + self._local(done, self.starts[done + 1] - self.starts[done]))
        return self._base[stage] + self._local(stage, step - self.starts[stage])

    def _local(self, stage: int, step: int) -> NDArray[np.int64]:
        kept = self._kept[stage]
        while len(kept) <= step // EVERY:
            kept.append(self._advance(stage, kept[-1], (len(kept) - 1) * EVERY, EVERY))
        begin, counts = step // EVERY * EVERY, kept[step // EVERY]
        if self._last[0] == stage and begin < self._last[1] <= step:
            begin, counts = self._last[1:]
        counts = self._advance(stage, counts, begin, step - begin)
        self._last = (stage, step, counts)
        return counts

    def _advance(self, stage: int, counts: NDArray[np.int64], step: int, steps: int) -> NDArray[np.int64]:
        counts = counts.copy()
        if steps and not advance(counts, self._rates[stage], self.batch, step, steps):
            raise RuntimeError(f"no schedule for the rates {self._rates[stage]} near step {step}")
        return counts

    def stages(self) -> list[dict[str, object]]:
        """`from_step` and `shares` of each stage."""
        return [{"from_step": s, "shares": dict(w)} for s, w in zip(self.starts, self._shares, strict=True)]


def weighted(
    sources: Mapping[str, SourceSize],
    params: WeightedParams,
    *,
    row_length: int,
    global_batch: int,
    steps: int,
) -> Weighted:
    """The schedule of a recipe.

    Shares are of tokens. A source whose rows hold fewer tokens than another's (padding) contributes more rows for the
    same share: its rate is share / (tokens per row), scaled so that the rates sum to 1.

    Args:
        sources: size of each source that has been built.
        steps: number of steps; every source must last for all of them within `max_epochs`.
    Raises:
        KormoError: weights without a matching source, or a source that would run out, with the step at which it does.
    """
    names = sorted(sources)
    tokens = {name: sources[name].tokens for name in names}
    per_row = np.array([sources[n].tokens / sources[n].rows if sources[n].rows else 1.0 for n in names])
    parts = [(0, params.weights, params.temperature, "kormo.mixture.weights")]
    for number, stage in enumerate(params.stages):
        start = -(-stage.from_tokens // (global_batch * row_length))
        where = f"kormo.mixture.stages[{number}].weights"
        if start == parts[-1][0]:
            raise KormoError(
                where=where,
                found=f"a start at {stage.from_tokens:,} tokens",
                why=f"it rounds up to step {start}, where the preceding stage begins",
                do="remove one of the two stages, or move it by at least one step",
            )
        parts.append((start, stage.weights, stage.temperature or params.temperature, where))
    token_shares = [shares(weights, tokens, temperature, where) for _, weights, temperature, where in parts]
    rates = [np.array([share[name] for name in names]) / per_row for share in token_shares]
    mixing = Weighted(names, [part[0] for part in parts], [r / r.sum() for r in rates], token_shares, global_batch)
    check_epochs(mixing, {n: sources[n].rows for n in names}, params.max_epochs, steps)
    return mixing


def check_epochs(
    mixing: Mixing, rows: Mapping[str, int], max_epochs: float | Mapping[str, float] | None, steps: int
) -> None:
    """Refuses a run in which a source would be repeated more often than `max_epochs` allows.

    Raises:
        KormoError: names every such source and the first step beyond its limit.
    """
    names = sorted(rows)
    if isinstance(max_epochs, Mapping) and (unknown := sorted(set(max_epochs) - set(names))):
        raise KormoError(
            where="kormo.mixture.max_epochs",
            found=repr(unknown[0]),
            why=f"there is no such source; the sources are: {', '.join(names)}",
            do="correct the name",
        )
    final, short = mixing.counts(steps), []
    for place, name in enumerate(names):
        limit = max_epochs.get(name) if isinstance(max_epochs, Mapping) else max_epochs
        if limit is None or final[place] <= (allowed := int(limit * rows[name] + SLACK)):
            continue
        low, high = 0, steps  # counts(low) <= allowed < counts(high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if mixing.counts(middle)[place] <= allowed else (low, middle)
        short.append(f"{name} at step {low:,} of {steps:,} ({final[place] / rows[name]:.2f} epochs of {limit:g})")
    if short:
        raise KormoError(
            where="kormo.mixture.max_epochs",
            found="sources that run out: " + "; ".join(short),
            why="within max_epochs their shares cannot be kept until the end of the run",
            do="lower their weights, raise max_epochs, or train for fewer steps",
        )
