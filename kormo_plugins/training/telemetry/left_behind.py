"""Verifies the files of a finished run besides its model before they are published: whether they were modified."""

from __future__ import annotations

from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.measures.metrics_file import read_metrics_file
from kormo_plugins.store.complete import RESTORE, read_marker, record_fault
from kormo_plugins.store.json_file import read_object, seal_fault
from kormo_plugins.store.sums import sha256_of
from kormo_plugins.training.telemetry.run_record import FILE as RECORD
from kormo_plugins.training.telemetry.run_record import RESOLVED, read_record

SAMPLES = "samples.json"
CARD = "README.md"
EVALUATION = "evaluation.json"
SCORES = "remove it, or run `kormo eval` again"


def check_left_behind(run: Path) -> None:
    """Compares record, recipe, metrics, samples and scores with what was written.

    Raises:
        KormoError: names the first modified file.
    """
    check_scores(run)
    _check_records(run)
    _check_metrics(run)


def changed_card(run: Path) -> bool:
    """Whether the model card was edited or removed after the end of the run, which is allowed."""
    return bool(record_fault(run / CARD))


def check_scores(run: Path) -> None:
    """Compares `evaluation.json` with its own checksum.

    Raises:
        KormoError: the scores were modified.
    """
    path = run / EVALUATION
    if not path.is_file():
        return
    fault = seal_fault(read_object(path, missing=("", ""), fix=SCORES))
    if fault:
        raise KormoError(where=str(path), found=fault, why="the scores are not those that were measured", do=SCORES)


def _check_records(run: Path) -> None:
    """Refuses metrics and samples that were modified after the end of the run, and a recipe that is not the run's."""
    faults = [(run / name, record_fault(run / name)) for name in (METRICS, SAMPLES)]
    sha256, recipe = read_record(run).get("recipe_sha256"), run / RESOLVED
    changed = sha256 is not None and (not recipe.is_file() or sha256_of(recipe.read_bytes()) != sha256)
    faults.append((recipe, f"it does not match the hash in {RECORD}" if changed else ""))
    for path, fault in faults:
        if fault:
            raise KormoError(where=str(path), found=fault, why="others read it as the record of the run", do=RESTORE)


def _check_metrics(run: Path) -> None:
    """Refuses metrics with invalid lines, or, without a checksum, with missing steps."""
    recorded = METRICS in (read_marker(run).get("records") or {})
    path, steps = run / METRICS, read_record(run).get("steps")
    metrics = read_metrics_file(path)
    last = max((line.get("step", 0) for line in metrics.lines), default=0)
    fault = (
        "no such file"
        if not path.is_file()
        else f"line {metrics.broken[0]} is not a JSON object"
        if metrics.broken
        else ""
    )
    if not fault and not recorded and isinstance(steps, int) and last < steps:
        fault = f"it ends at step {last:,} of {steps:,}"
    if fault:
        raise KormoError(
            where=str(path),
            found=fault,
            why="others compare the losses of their runs with it",
            do=RESTORE,
        )
