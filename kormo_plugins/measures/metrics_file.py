"""`metrics.jsonl`, read: one line per log of a run, as the trainer appends it.

A resumed run goes on in the same file, behind a line `{"event": "resume", "step": N}`: what was logged of later steps
before it is replaced by what follows; one that was killed before its first checkpoint begins again behind `{"event":
"start"}`, which replaces everything. The last line may be half written while a run is looked at.

Metrics that have been renamed are read under the names that they have today: an old run stands beside a new one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

FILE = "metrics.jsonl"
EXTERNAL_EVAL = "external_eval"
"""First part of the metrics of texts from elsewhere (`kormo.monitor.external_eval`)."""

NUMBERS = ("loss", "grad_norm", "learning_rate", "time", "tokens")
"""Keys without a `/` whose values are numbers."""

RENAMED = {"unseen": EXTERNAL_EVAL}
"""First part of a metric's name in earlier versions -> what it is today."""


def current_name(name: str) -> str:
    """The name that a metric has today: `unseen/loss` is `external_eval/loss`."""
    first, slash, rest = name.partition("/")
    return f"{RENAMED.get(first, first)}/{rest}" if slash else name


class Metrics(NamedTuple):
    """What a run logged.

    Args:
        lines: in the order of the file, those that a resume replaced left out.
        resumes: the steps from which the run was resumed; 0 where it began again.
        broken: numbers of the lines that are no JSON, or hold what no run logs, from 1 on.
    """

    lines: list[dict[str, Any]]
    resumes: list[int]
    broken: list[int]


def read_metrics_file(path: Path) -> Metrics:
    """The file, or nothing where there is none yet."""
    found = Metrics([], [], [])
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for number, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not _sound(line):
            found.broken.append(number)
            continue
        if line.get("event") == "start":
            found.resumes.append(0)
            found.lines.clear()
        elif line.get("event") == "resume":
            found.resumes.append(int(line["step"]))
            found.lines[:] = [kept for kept in found.lines if _step(kept) <= line["step"]]
        else:
            found.lines.append({current_name(name): value for name, value in line.items()})
    return found


def _sound(line: object) -> TypeGuard[dict[str, Any]]:
    """Whether a line is one of ours: its step is a whole number, and its measures and times are numbers."""
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
    """The lines alone."""
    return read_metrics_file(path).lines
