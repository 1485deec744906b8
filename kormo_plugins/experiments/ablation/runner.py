"""`kormo ablate`: trains every cell of an ablation, one after another, and compares them.

    outputs/ablations/cells/cell-<hash>/     a run like any other, made by `axolotl train`
    outputs/ablations/NAME/ablation.json     the cells, their measures, the comparison; rewritten after each cell
    outputs/ablations/NAME/ablation.md       the same for people; ablation.html with plots

After a kill it can be continued: a cell with a complete model is not retrained, and an unfinished one resumes from its
last checkpoint like any run. A cell that fails is reported and left out of the table; the others are still trained. A
cell whose documents have changed since (other text in the same folder) is moved aside and retrained.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kormo_plugins.console.child_log import length, raise_full_disk, told_in
from kormo_plugins.console.children import ends_with_us
from kormo_plugins.errors import KormoError, closest
from kormo_plugins.experiments.ablation.indistinct import indistinct
from kormo_plugins.experiments.ablation.markdown import markdown
from kormo_plugins.experiments.ablation.spec import AblationSpec, Cell, Measure
from kormo_plugins.experiments.ablation.statistics import compare
from kormo_plugins.experiments.chain.status import set_aside
from kormo_plugins.experiments.launch.fork_server import ForkServer, wait_for
from kormo_plugins.measures.experiments import CELL, AblationRecord, CellRecord, Row
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.recipe.files.override import changed, write
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.reporting.ablation import write_ablation
from kormo_plugins.runs.identity import identity_inputs, recorded
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.complete import fault, unchanged
from kormo_plugins.store.fingerprint import identity
from kormo_plugins.store.json_file import SEALED, check_shape, read_object, sealed, write_json
from kormo_plugins.store.lease import Lease, acquire_or_refuse
from kormo_plugins.training.guards import preemption_file
from kormo_plugins.training.guards.preemption_file import EXIT_PREEMPTED

STATE = "ablation.json"
LOG = "log.txt"

Train = Callable[[Path, Path, Mapping[str, str]], int]
"""Trains a recipe: recipe, log, environment -> exit status."""


@dataclass
class Outcome:
    """The outcome of a cell."""

    state: str
    """`trained`, `reused`, `failed`, `preempted` or `not started`."""
    seconds: float = 0.0
    measures: dict[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass
class Ablation:
    """An ablation, running or finished.

    Args:
        path: its file.
        cells: in the order in which they are trained.
        out: folder of its own results.
        runs: folder of all cells.
    """

    path: Path
    spec: AblationSpec
    cells: list[Cell]
    out: Path
    runs: Path
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By a cell's hash."""

    def table(self) -> dict[str, dict[str, Row]]:
        """Measure -> variant -> mean, spread and comparison."""
        tables = {}
        for name in self.spec.measure:
            results: dict[str, dict[int, float]] = {variant: {} for variant in self.spec.variants}
            for cell in self.cells:
                outcome = self.outcomes.get(cell.hash)
                if outcome is not None and name in outcome.measures:
                    results[cell.variant][cell.seed] = outcome.measures[name]
            tables[name] = compare(results, self.spec.reference)
        return tables

    def record(self) -> AblationRecord:
        """The record as JSON values."""
        cells = [self._cell(cell) for cell in self.cells]
        return {
            "ablation": str(self.path),
            "question": self.spec.question,
            "base": str(self.spec.base),
            "baseline": self.spec.reference,
            "measures": {
                name: {"metric": one.metric, "last": one.last, "better": one.better}
                for name, one in self.spec.measure.items()
            },
            "variants": {variant: {**self.spec.changes, **own} for variant, own in self.spec.variants.items()},
            "cells": cells,
            "table": self.table(),
            "warnings": indistinct(self._finished(cells)),
        }

    def _finished(self, cells: Sequence[CellRecord]) -> dict[str, dict[int, CellRecord]]:
        """Variant -> seed -> cell with measures."""
        finished: dict[str, dict[int, CellRecord]] = {variant: {} for variant in self.spec.variants}
        for cell in cells:
            if cell["measures"]:
                finished[cell["variant"]][cell["seed"]] = cell
        return finished

    def _cell(self, cell: Cell) -> CellRecord:
        outcome = self.outcomes.get(cell.hash, Outcome("not started"))
        return {
            "variant": cell.variant,
            "seed": cell.seed,
            "hash": cell.hash,
            "folder": str(cell.folder(self.runs)),
            "state": outcome.state,
            "seconds": outcome.seconds,
            "measures": outcome.measures,
            "reason": outcome.reason,
        }


def run(ablation: Ablation, log: Callable[[str], None], train: Train | None = None) -> int:
    """Trains what is missing and writes the results after each cell.

    Args:
        log: gets one line per cell.
        train: how a cell is trained; by default as the file says.
    Returns:
        0; 1 if a cell failed; 75 if one was preempted and the rest has to be run later.
    Raises:
        KormoError: another process is running this ablation, or a measure that no cell reports.
    """
    ablation.out.mkdir(parents=True, exist_ok=True)
    lease = Lease(ablation.out / ".lease")
    acquire_or_refuse(lease, f"the ablation in {ablation.out}", log)
    with lease.held(), ForkServer() as warm:
        return _run(ablation, log, train or trainer(ablation.spec.launcher, ablation.spec.launcher_args, warm))


def _run(ablation: Ablation, log: Callable[[str], None], train: Train) -> int:
    start, code = time.monotonic(), 0
    budget = ablation.spec.budget_minutes
    distinct = {cell.hash: cell for cell in ablation.cells}
    for number, cell in enumerate(distinct.values(), 1):
        title = f"[{number}/{len(distinct)}] {cell.variant}, seed {cell.seed}"
        folder = cell.folder(ablation.runs)
        late = budget is not None and time.monotonic() - start > 60 * budget
        found = run_cell(cell, folder, train, partial(titled, log, title), may_start=not late)
        if found is None:
            log(f"{title}: not started, the budget of {budget:g} minutes is used up; run the command again to continue")
            continue
        outcome = found
        if outcome.state in ("trained", "reused"):
            outcome.measures = _measures(cell, folder, ablation.spec.measure)
        ablation.outcomes[cell.hash] = outcome
        log(f"{title}: {outcome.state}" + _told(outcome))
        save(ablation)
        if outcome.state == "preempted":
            return EXIT_PREEMPTED
        code = max(code, int(outcome.state == "failed"))
    for line in save(ablation).get("warnings", []):
        log(f"warning: {line}")
    return code


def titled(log: Callable[[str], None], title: str, line: str) -> None:
    """Logs a line about one of several runs."""
    log(f"{title}: {line}")


def run_cell(
    cell: Cell, folder: Path, train: Train, log: Callable[[str], None], may_start: bool = True
) -> Outcome | None:
    """Trains a cell unless it is already trained; one with other documents is set aside first.

    Args:
        log: called with progress messages.
        may_start: whether a training may start.
    Returns:
        The outcome without measures; None if a training was needed but may not start.
    """
    if other := other_documents(cell.recipe, folder):
        wait_for(folder / LOG, log)
        log(f"{folder} was trained on other documents ({other}); it is kept as {set_aside(folder).name}")
    if _finished(folder):
        return Outcome("reused", _seconds(folder))
    if not may_start:
        return None
    log(f"training in {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    wait_for(folder / LOG, log)
    return Outcome("reused", _seconds(folder)) if _finished(folder) else _train(cell, folder, train)


def other_documents(recipe: Recipe, folder: Path) -> str:
    """Sources whose documents differ from those of the run in `folder`; empty if none do.

    A cell's name is the hash of its recipe, which has the path of a folder of text, but not its contents.
    """
    before = recorded(folder).get("documents")
    if not before:
        return ""
    now = _documents_of(recipe)
    return ", ".join(name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name))


_known: dict[str, dict[str, str]] = {}
"""Cached hashes of documents: cells that only differ in weights read the user's files once."""


def _documents_of(recipe: Recipe) -> dict[str, str]:
    data = recipe.resolved.get("kormo.data") or {}
    key = identity({name: value for name, value in data.items() if name not in ("mixture", "packing")})
    if key not in _known:
        _known[key] = identity_inputs(recipe.identity_plan())["documents"]
    return _known[key]


def save(ablation: Ablation) -> AblationRecord:
    """Writes `ablation.json`, `ablation.md` and `ablation.html`; returns the record."""
    record = ablation.record()
    write_json(ablation.out / STATE, sealed({"format": SEALED, **record}))
    write_text(ablation.out / "ablation.md", markdown(record))
    write_ablation(record, ablation.out / "ablation.html")
    return record


def _told(outcome: Outcome) -> str:
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in outcome.measures.items())
    return "".join(
        (
            f" in {outcome.seconds:.0f} s" if outcome.seconds else "",
            f": {numbers}" if numbers else "",
            f": {outcome.reason}" if outcome.reason else "",
        )
    )


def _finished(folder: Path) -> bool:
    return (folder / "config.json").is_file() and fault(folder, hashes=False) is None


def _seconds(folder: Path) -> float:
    path = folder / CELL
    if not path.is_file():
        return 0.0
    fix = f"remove {path}: the result of the cell will be measured again"
    record = read_object(path, missing=("the cell was trained", fix), fix=fix)
    check_shape(path, record, {"seconds": (int, float)}, fix)
    return float(record.get("seconds", 0.0))


def _train(cell: Cell, folder: Path, train: Train) -> Outcome:
    changes = {**cell.changes, "output_dir": str(folder)}
    recipe = write(changed(cell.recipe.path, changes), changes, folder / "cell.yml")
    log, start = folder / LOG, time.monotonic()
    begin = length(log)
    code = train(recipe, log, {"KORMO_SAMPLES": "off"})
    seconds = round(time.monotonic() - start + _seconds(folder), 1)
    about = {"variant": cell.variant, "seed": cell.seed, "hash": cell.hash, "seconds": seconds}
    write_json(folder / CELL, about)
    if code == EXIT_PREEMPTED or (code and preemption_file.read(folder)):
        return Outcome("preempted", seconds)
    if code or not _finished(folder):
        raise_full_disk(log, begin)
        return Outcome("failed", seconds, reason=f"exit status {code}; {log} ends: {_last_line(log, begin)}")
    return Outcome("trained", seconds)


def _last_line(log: Path, begin: int) -> str:
    if (error := told_in(log, begin)) is not None:
        return f"{error.where}: {error.found}"
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return next((line.strip()[-300:] for line in reversed(lines) if line.strip()), "(nothing)")


def _measures(cell: Cell, folder: Path, wanted: Mapping[str, Measure]) -> dict[str, float]:
    """The measures of a finished cell.

    Raises:
        KormoError: its metrics have no such key; the message says which they have.
    """
    lines = read_metrics(unchanged(folder / METRICS))
    measured: dict[str, float] = {}
    for name, measure in wanted.items():
        values = [float(line[measure.metric]) for line in lines if measure.metric in line]
        if not values:
            known = sorted({key for line in lines for key in line})
            raise KormoError(
                where=f"measure.{name}.metric",
                found=repr(measure.metric),
                why=f"{folder / METRICS} has no such key; it has: {', '.join(known)}",
                do=closest(measure.metric, known, "name one of them, or enable the monitor that logs it"),
            )
        tail = values[-measure.last :]
        measured[name] = sum(tail) / len(tail)
    return measured


def trainer(launcher: str | None, arguments: Sequence[str], warm: ForkServer) -> Train:
    """The training function of a spec file: a launcher, or, without one, the fork server."""
    if launcher is None:
        return warm.train

    def launch(recipe: Path, log: Path, env: Mapping[str, str]) -> int:
        """Trains a recipe in a separate process, with output appended to `log`; returns the exit status."""
        command = ["axolotl", "train", str(recipe), "--launcher", launcher]
        if arguments:
            command += ["--", *arguments]
        with log.open("ab") as out:
            return subprocess.run(
                command, stdout=out, stderr=out, env={**os.environ, **env}, check=False, preexec_fn=ends_with_us()
            ).returncode

    return launch
