"""`chain.json`: the outcome of each stage of a chain, kept across runs.

A stage that is skipped keeps the numbers of the run that trained it.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kormo_plugins.experiments.chain.spec import Chain
from kormo_plugins.experiments.chain.status import weights_of
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.store.complete import unchanged
from kormo_plugins.store.json_file import SEALED, seal_fault, sealed, write_json

FILE = "chain.json"
KEPT = ("seconds", "attempts", "steps", "tokens", "loss", "loss_at_start", "log", "aside")
"""The numbers that a skipped stage keeps from an earlier run."""


@dataclass
class Entry:
    """One stage.

    Args:
        status: `trained`, `skipped`, `failed`, `preempted`, `not run`, or what a dry run would do.
        why: the reason.
        output: its folder.
        identity: what it was trained from (`runs/identity.py`).
        weights: identity of the resulting model, as the next stage sees it.
        seconds: wall time of its training.
        loss: mean of the last three logged losses; `loss_at_start` is the first one.
        aside: where an older result was moved.
    """

    name: str
    recipe: str
    output: str
    before: str | None = None
    status: str = "not run"
    why: str = ""
    identity: str | None = None
    weights: str | None = None
    seconds: float = 0.0
    attempts: int = 0
    exit_status: int | None = None
    steps: int | None = None
    tokens: int | None = None
    loss: float | None = None
    loss_at_start: float | None = None
    log: str | None = None
    aside: str | None = None
    begun: float | None = field(default=None, repr=False)

    def started(self, action: str) -> None:
        """Called when its training starts; the time from before a resume is kept."""
        if action != "resume":
            self.seconds = 0.0
        self.status, self.begun = "training", time.time()

    def finished(self, status: str, out: Path) -> None:
        """Called when it has ended or was skipped; reads its results."""
        if self.begun is not None:
            self.seconds = round(self.seconds + time.time() - self.begun, 1)
            self.begun = None
        self.status, self.weights = status, weights_of(out)
        lines = _logged(out)
        if lines:
            self.steps, self.tokens = lines[-1].get("step"), lines[-1].get("tokens")
            losses = [float(line["loss"]) for line in lines]
            self.loss = round(sum(losses[-3:]) / len(losses[-3:]), 4)
            self.loss_at_start = round(losses[0], 4)


@dataclass
class Record:
    """All stages of a chain."""

    chain: Chain
    entries: dict[str, Entry]

    @classmethod
    def opened(cls, chain: Chain) -> Record:
        """The record of a chain that is about to run, with the numbers of earlier runs."""
        old: dict[str, Any] = {}
        path = chain.folder / FILE
        if path.is_file():
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                old = {} if seal_fault(record, unnamed=True) else {one["name"]: one for one in record["stages"]}
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                old = {}  # a record, not an input: a damaged one is rewritten
        entries = {}
        for stage in chain.stages:
            entry = Entry(stage.name, str(stage.recipe.path), str(stage.out), stage.before)
            for key in KEPT:
                if old.get(stage.name, {}).get(key) is not None:
                    setattr(entry, key, old[stage.name][key])
            entries[stage.name] = entry
        return cls(chain, entries)

    def entry(self, name: str) -> Entry:
        """The stage of that name."""
        return self.entries[name]

    def as_dict(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "chain": self.chain.file.name,
            "file": str(self.chain.path),
            "folder": str(self.chain.folder),
            "seconds": round(sum(entry.seconds for entry in self.entries.values()), 1),
            "stages": [asdict(entry) for entry in self.entries.values()],
        }

    def save(self) -> None:
        """Writes chain.json atomically."""
        self.chain.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.chain.folder / FILE, sealed({"format": SEALED, **self.as_dict()}))

    @staticmethod
    def progress(out: Path) -> str:
        """One line about a stage that is running."""
        lines = _logged(out)
        if not lines:
            return "no step logged yet"
        last = lines[-1]
        return f"step {last.get('step')}, loss {float(last['loss']):.4f}"


def _logged(out: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl that have a loss."""
    return [line for line in read_metrics(unchanged(out / METRICS)) if "loss" in line and "step" in line]
