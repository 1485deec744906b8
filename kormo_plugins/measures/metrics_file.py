"""Reads `metrics.jsonl`: one line per log call of a run, appended by the trainer.

A resumed run appends to the same file after a line `{"event": "resume", "step": N}`; lines of later steps logged before
it are superseded. A run killed before its first checkpoint restarts after `{"event": "start"}`, which supersedes
everything. The last line may be incomplete while the run is active.

Renamed metrics are read under their current names, so that old and new runs can be compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

FILE = "metrics.jsonl"
EXTERNAL_EVAL = "external_eval"
"""Prefix of the metrics of external evaluation texts (`kormo.monitor.external_eval`)."""

NUMBERS = ("loss", "grad_norm", "learning_rate", "time", "tokens")
"""Keys without a `/` whose values are numbers."""

RENAMED = {"unseen": EXTERNAL_EVAL}
"""Prefix of a metric's name in earlier versions -> its current prefix."""


def current_name(name: str) -> str:
    """The current name of a metric: `unseen/loss` is `external_eval/loss`."""
    first, slash, rest = name.partition("/")
    return f"{RENAMED.get(first, first)}/{rest}" if slash else name


class Metrics(NamedTuple):
    """The metrics that a run logged.

    Args:
        lines: in file order, without those superseded by a resume.
        resumes: steps from which the run was resumed; 0 for a restart.
        broken: line numbers, from 1, that are not JSON or hold values that no run logs.
    """

    lines: list[dict[str, Any]]
    resumes: list[int]
    broken: list[int]


def read_metrics_file(path: Path) -> Metrics:
    """Reads the file; empty if it does not exist yet."""
    metrics = Metrics([], [], [])
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for number, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not _sound(line):
            metrics.broken.append(number)
            continue
        if line.get("event") == "start":
            metrics.resumes.append(0)
            metrics.lines.clear()
        elif line.get("event") == "resume":
            metrics.resumes.append(int(line["step"]))
            metrics.lines[:] = [line_before for line_before in metrics.lines if _step(line_before) <= line["step"]]
        else:
            metrics.lines.append({current_name(name): value for name, value in line.items()})
    return metrics


def _sound(line: object) -> TypeGuard[dict[str, Any]]:
    """Whether a line is valid: its step is an integer, and its measures and times are numbers."""
    if not isinstance(line, dict) or (line.get("event") == "resume" and type(line.get("step")) is not int):
        return False
    if type(line.get("step", 0)) is not int:
        return False
    measured = (value for key, value in line.items() if key in NUMBERS or ("/" in key and value is not None))
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in measured)


def _step(line: dict[str, object]) -> int:
    step = line.get("step", 0)
    return step if isinstance(step, int) else 0


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Reads only the lines."""
    return read_metrics_file(path).lines
