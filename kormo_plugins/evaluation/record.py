"""`evaluation.json`: the scores of a checkpoint, stored beside it.

    model      path, hash of its weights, family, whether it is a chat model
    results    a row per line of a suite: task, metric, value, stderr, n, shots, limit, published scores
    tasks      a row per task, with all its metrics and the hash of its requests
    needle     the latest needle-in-a-haystack result

The file contains a checksum of its content. It is rewritten atomically whenever a task finishes, so that an interrupted
evaluation continues after the last one. A task counts as finished if the hashes of its requests and of the weights
match. Times are logged but not stored, so an interrupted and repeated evaluation writes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from kormo_plugins import __version__
from kormo_plugins.errors import KormoError, writing
from kormo_plugins.evaluation.models.checkpoint import Checkpoint
from kormo_plugins.measures.scores import EvaluationRecord, JudgedResult, ModelRecord, NeedleRecord, SuiteRow, TaskRow
from kormo_plugins.store.atomic import set_aside
from kormo_plugins.store.json_file import seal_fault, sealed, write_json

FILE = "evaluation.json"
FORMAT = 2


class Record:
    """The evaluation of one model, in one file.

    Args:
        folder: of the file.
        model: the evaluated model; an existing record of other weights is renamed, never merged.
    """

    def __init__(self, folder: Path, model: Checkpoint) -> None:
        self.path = folder / FILE
        self.set_aside: Path | None = None
        self.values: EvaluationRecord = self._read(model.hash) or {"tasks": [], "results": []}
        self.model: ModelRecord = {
            "path": str(model.path.resolve()),
            "hash": model.hash,
            "family": model.family,
            "chat": model.chat,
            "positions": model.positions,
        }
        self.values |= {"format": FORMAT, "kormo_plugins": __version__, "model": self.model}

    def _read(self, model_hash: str) -> EvaluationRecord | None:
        if not self.path.is_file():
            return None
        try:
            values: EvaluationRecord = json.loads(self.path.read_text(encoding="utf-8"))
            old = str(values["model"]["hash"])
        except (ValueError, KeyError, TypeError):
            raise KormoError(
                where=str(self.path),
                found="no record of an evaluation",
                why="it is damaged, or another program wrote it",
                do="move it away, or choose another folder with --out",
            ) from None
        if (fault := seal_fault(values)) != "":
            raise KormoError(
                where=str(self.path),
                found=fault,
                why="scores that were edited or damaged must not be taken for measured ones",
                do="move it away, and the tasks are run again; or choose another folder with --out",
            )
        if old == model_hash and values.get("format") == FORMAT:
            return values
        self.set_aside = set_aside(self.path, self.path.with_name(f"evaluation-{old}.json"))
        return None

    def task(self, hash: str) -> TaskRow | None:
        """Returns a finished task by the hash of its requests."""
        return next((one for one in self.values["tasks"] if one["hash"] == hash), None)

    def add_task(self, row: TaskRow) -> None:
        """Adds a finished task and writes the file."""
        rows = {one["hash"]: one for one in self.values["tasks"]}
        self.values["tasks"] = list((rows | {row["hash"]: row}).values())
        self.write()

    def add_results(self, rows: Sequence[SuiteRow]) -> None:
        """Adds rows of a suite; replaces a row with the same suite, task, metric, shots and limit."""
        old = {_line(row): row for row in self.values["results"]}
        self.values["results"] = list((old | {_line(row): row for row in rows}).values())
        self.write()

    def set_needle(self, found: NeedleRecord) -> None:
        """Stores the latest needle-in-a-haystack result."""
        self.values["needle"] = found
        self.write()

    def add_judged(self, suite: str, result: JudgedResult) -> None:
        """Stores the result of a judged suite."""
        self.values["judged"] = {**self.values.get("judged", {}), suite: result}
        self.write()

    def write(self) -> None:
        """Writes the file atomically."""
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, sealed(self.values))


def _line(row: SuiteRow) -> tuple[object, ...]:
    """Key of a row: a newer row replaces the older one with the same key, at its position."""
    return row["suite"], row["task"], row["metric"], row["shots"], row["limit"]
