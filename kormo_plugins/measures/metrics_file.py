"""Reads `metrics.jsonl`: one line per log call of a run, appended by the trainer.

A resumed run appends to the same file after a line `{"event": "resume", "step": N}`; lines of later steps logged before
it are superseded. A run killed before its first checkpoint restarts after `{"event": "start"}`, which supersedes
everything. The last line may be incomplete while the run is active.

Earlier versions also wrote the start of a finished run: a resume from its last step, and a final record (`train_loss`)
that no step precedes. Both are ignored.

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


class Start(NamedTuple):
    """Where a run went on after a stop.

    Args:
        before: number of lines before it; lines that it superseded are not counted.
        step: from which the run was resumed; 0 for a restart.
        time: Unix time; None if it was not recorded.
    """

    before: int
    step: int
    time: float | None


class Metrics(NamedTuple):
    """The metrics that a run logged.

    Args:
        lines: in file order, without those superseded by a resume.
        starts: resumes and restarts, in file order, without those after which no step was trained.
        broken: line numbers, from 1, that are not JSON or hold values that no run logs.
    """

    lines: list[dict[str, Any]]
    starts: list[Start]
    broken: list[int]

    @property
    def resumes(self) -> list[int]:
        """Steps from which the run was resumed; 0 for a restart."""
        return [start.step for start in self.starts]


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
        if line.get("event") in ("start", "resume"):
            _start(metrics, line)
        elif _trained_nothing(metrics, line):
            del metrics.lines[metrics.starts.pop().before :]
        else:
            metrics.lines.append({current_name(name): value for name, value in line.items()})
    return metrics


def _start(metrics: Metrics, event: dict[str, Any]) -> None:
    """Records a start, and removes the lines that it supersedes."""
    again = event["event"] == "start"
    step = 0 if again else int(event["step"])
    metrics.lines[:] = [line for line in metrics.lines if not again and _step(line) <= step]
    left = len(metrics.lines)
    metrics.starts[:] = [start._replace(before=min(start.before, left)) for start in metrics.starts]
    metrics.starts.append(Start(left, step, event.get("time")))


def _trained_nothing(metrics: Metrics, line: dict[str, Any]) -> bool:
    """Whether a line is the final record of a resume after which no step was trained."""
    return "train_loss" in line and bool(metrics.starts) and 0 < _step(line) <= metrics.starts[-1].step


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
