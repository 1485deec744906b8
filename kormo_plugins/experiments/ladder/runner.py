"""`kormo ladder`: trains sizes, fits the law, predicts the next size, and only then trains that.

    outputs/ladders/runs/cell-<hash>/       a run like any other, made by `axolotl train`
    outputs/ladders/NAME/predictions.jsonl  what was predicted and when; lines are added, never changed
    outputs/ladders/NAME/ladder.json        runs, points, law, predictions and outcomes; ladder.html for people

After a kill it can be continued, like an ablation. A prediction is written when all smaller sizes are trained and the
predicted one has no run yet. If its run was already started, none is written: a known result is not a prediction.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.experiments.ablation.runner import Outcome, Train, run_cell, titled, trainer
from kormo_plugins.experiments.ladder import record
from kormo_plugins.experiments.ladder.law import Fit, Point, fit
from kormo_plugins.experiments.ladder.spec import LadderSpec, Rung
from kormo_plugins.experiments.launch.fork_server import ForkServer
from kormo_plugins.measures.experiments import LadderRecord, LawRecord, PredictedLoss, Prediction, PredictionLine
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.reporting.ladder import write_ladder
from kormo_plugins.store.complete import unchanged
from kormo_plugins.store.fingerprint import identity
from kormo_plugins.store.json_file import write_json
from kormo_plugins.store.lease import Lease, acquire_or_refuse
from kormo_plugins.training.guards.preemption_file import EXIT_PREEMPTED

STATE, PAGE = "ladder.json", "ladder.html"
REPLICAS = 200


@dataclass
class Ladder:
    """A ladder, running or finished.

    Args:
        path: its file.
        rungs: in the order in which they are trained.
        out: folder of its own results.
        runs: folder of all runs.
        replicas: of the bootstrap.
    """

    path: Path
    spec: LadderSpec
    rungs: list[Rung]
    out: Path
    runs: Path
    replicas: int = REPLICAS
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By a cell's hash."""
    _fits: dict[tuple[Point, ...], Fit] = field(default_factory=dict)

    def law(self) -> Fit:
        """The law fitted to all sizes except the predicted ones; cached for the same points."""
        points = tuple(self.fitted())
        if points not in self._fits:
            self._fits[points] = fit(points, self.replicas)
        return self._fits[points]

    def folder(self, rung: Rung) -> Path:
        """Output folder of a rung."""
        return rung.cell.folder(self.runs)

    def points(self, rung: Rung) -> list[Point]:
        """The measured points of a rung's run so far.

        Raises:
            KormoError: the metrics do not have the key.
        """
        lines = read_metrics(unchanged(self.folder(rung) / METRICS))
        metric, recipe = self.spec.metric, rung.cell.recipe
        per_step = int(recipe.block.global_batch or 0) * recipe.sequence_len
        losses = {int(line["step"]): float(line[metric]) for line in lines if metric in line}
        if lines and not losses:
            known = sorted({key for line in lines for key in line})
            raise KormoError(
                where=f"{self.path}: metric",
                found=repr(metric),
                why=f"{self.folder(rung) / METRICS} has no such key; it has: {', '.join(known)}",
                do=closest(metric, known, "name one of them, or enable the monitor that logs it"),
            )
        steps = sorted(losses) if self.spec.points == "all" else sorted(losses)[-1:]
        name = f"{rung.cell.variant}, seed {rung.cell.seed}"
        return [
            Point(name, rung.parameters, step * per_step, rung.synthetic, losses[step])
            for step in steps
            if step * per_step > self.spec.skip_tokens
        ]

    def fitted(self) -> list[Point]:
        """Points of all sizes except the predicted ones, in the order of the file."""
        return [point for rung in self.rungs if not rung.target for point in self.points(rung)]

    def complete(self) -> bool:
        """Whether all fitted sizes are trained."""
        done = {"trained", "reused"}
        waiting = Outcome("not started")
        return all(r.target or self.outcomes.get(r.cell.hash, waiting).state in done for r in self.rungs)


def run(ladder: Ladder, log: Callable[[str], None], train: Train | None = None) -> int:
    """Trains missing runs, smaller sizes first, and writes the results after each run.

    Args:
        log: called with progress messages.
        train: how a run is trained; by default as an ablation's cells are.
    Returns:
        0; 1 if a run failed; 75 if one was preempted and the rest has to be run later.
    Raises:
        KormoError: another process is running this ladder; no prediction is possible; the record was modified.
    """
    ladder.out.mkdir(parents=True, exist_ok=True)
    record.read(ladder.out)
    lease = Lease(ladder.out / ".lease")
    acquire_or_refuse(lease, f"the ladder in {ladder.out}", log)
    with lease.held(), ForkServer() as warm:
        return _run(ladder, log, train or trainer(ladder.spec.launcher, ladder.spec.launcher_args, warm))


def _run(ladder: Ladder, log: Callable[[str], None], train: Train) -> int:
    start, code, budget = time.monotonic(), 0, ladder.spec.budget_minutes
    for number, rung in enumerate(ladder.rungs, 1):
        cell = rung.cell
        title = f"[{number}/{len(ladder.rungs)}] {cell.variant}, seed {cell.seed}"
        if rung.target:
            if not ladder.complete():
                log(f"{title}: not predicted and not trained: a smaller size is missing")
                code = max(code, 1)
                continue
            predict(ladder, rung, log)
        late = budget is not None and time.monotonic() - start > 60 * budget
        outcome = run_cell(cell, ladder.folder(rung), train, partial(titled, log, title), may_start=not late)
        if outcome is None:
            log(f"{title}: not started, the budget of {budget:g} minutes is used up; run the command again to continue")
            continue
        ladder.outcomes[cell.hash] = outcome
        log(f"{title}: {outcome.state} in {outcome.seconds:.0f} s{': ' + outcome.reason if outcome.reason else ''}")
        save(ladder)
        if outcome.state == "preempted":
            return EXIT_PREEMPTED
        code = max(code, int(outcome.state == "failed"))
    save(ladder)
    return code


def predict(ladder: Ladder, rung: Rung, log: Callable[[str], None]) -> None:
    """Writes the prediction of a rung, unless one from the same points exists or its run was already started."""
    points = ladder.fitted()
    hashes = [other.cell.hash for other in ladder.rungs if not other.target]
    inputs = identity([hashes, [[p.run, p.parameters, p.tokens, p.synthetic, p.loss] for p in points]])
    mine = [line for line in record.read(ladder.out) if line["target"] == rung.cell.hash]
    if any(line["inputs"] == inputs for line in mine):
        return
    if begun(ladder.folder(rung)) is not None:
        if not any(made_before(line, ladder.folder(rung)) for line in mine):
            log(f"{rung.cell.variant}: its training began before a prediction was written, so none is recorded")
        return
    fitted_law = ladder.law()
    entry: Prediction = {
        "target": rung.cell.hash,
        "size": rung.cell.variant,
        "seed": rung.cell.seed,
        "parameters": rung.parameters,
        "synthetic": rung.synthetic,
        "metric": ladder.spec.metric,
        "at": [_at(fitted_law, rung, tokens) for tokens in _tokens(ladder, points)],
        "law": law_record(fitted_law),
        "inputs": inputs,
        "runs": hashes,
        "points": len(points),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    line = record.add(ladder.out, entry)
    last = line["at"][-1]
    log(
        f"{rung.cell.variant}: {ladder.spec.metric} {last['loss']:.4f} ({last['low']:.4f} to {last['high']:.4f}) "
        f"predicted after {last['tokens']:,} tokens; sha256 {line['sha256'][:16]}"
    )


def _tokens(ladder: Ladder, points: Sequence[Point]) -> list[int]:
    """Tokens of the predicted evaluations: those of the fitted runs."""
    return sorted({int(point.tokens) for point in points})


def _at(found: Fit, rung: Rung, tokens: int) -> PredictedLoss:
    predicted = found.predict(rung.parameters, tokens, rung.synthetic)
    return {"tokens": tokens, "loss": predicted.loss, "low": predicted.low, "high": predicted.high}


def law_record(found: Fit) -> LawRecord:
    """The fitted parameters with 95% intervals, and the internal values of the law."""
    values = {name: [value, *found.interval(name)] for name, value in found.law.values.items()}
    theta = [None if value == float("-inf") else value for value in found.law.theta]
    return {"values": values, "theta": theta, "free": list(found.law.free), "centre": list(found.law.centre)}


def begun(folder: Path) -> float | None:
    """Unix time of the first log line of the run in a folder; None if there is none."""
    times = [float(line["time"]) for line in read_metrics(unchanged(folder / METRICS)) if "time" in line]
    return min(times) if times else None


def made_before(line: PredictionLine, folder: Path) -> bool:
    """Whether a prediction was written before the run in the folder logged anything."""
    first = begun(folder)
    return first is None or datetime.fromisoformat(line["time"]).timestamp() <= first


def as_record(ladder: Ladder) -> LadderRecord:
    """The record as JSON values."""
    waiting, points = Outcome("not started"), {r.cell.hash: ladder.points(r) for r in ladder.rungs}
    law = None
    if ladder.complete():
        law = law_record(ladder.law())
    predictions: list[PredictionLine] = [
        {**line, "before": made_before(line, ladder.folder(rung))}
        for line in record.read(ladder.out)
        for rung in ladder.rungs
        if rung.cell.hash == line["target"]
    ]
    return {
        "ladder": str(ladder.path),
        "question": ladder.spec.question,
        "base": str(ladder.spec.base),
        "metric": ladder.spec.metric,
        "law": law,
        "predictions": predictions,
        "runs": [
            {
                "size": rung.size,
                "name": rung.cell.variant,
                "seed": rung.cell.seed,
                "synthetic": rung.synthetic,
                "parameters": rung.parameters,
                "target": rung.target,
                "hash": rung.cell.hash,
                "folder": str(ladder.folder(rung)),
                "points": [(int(p.tokens), p.loss) for p in points[rung.cell.hash]],
                "state": (outcome := ladder.outcomes.get(rung.cell.hash, waiting)).state,
                "seconds": outcome.seconds,
                "reason": outcome.reason,
            }
            for rung in ladder.rungs
        ],
    }


def save(ladder: Ladder) -> None:
    """Writes `ladder.json` and `ladder.html`."""
    content = as_record(ladder)
    write_json(ladder.out / STATE, content)
    write_ladder(content, ladder.out / PAGE)
