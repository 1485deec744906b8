"""`evaluation.json`: what a checkpoint scored, beside it.

    model      path, hash of its weights, family, whether it is a chat model
    results    a row for each line of a suite: task, metric, value, stderr, n, shots, limit, published scores
    tasks      a row for each single task that was run, with all its metrics and the hash of its requests
    needle     the latest needle in a haystack

A checksum of all of it is in it. The file is rewritten (to a temporary name, then renamed) whenever a task is finished,
so that a killed evaluation goes on behind the last one. A task counts as done when the hash of its requests and of the
weights is the same. Times are told while it runs and are not kept: what is killed and repeated gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from kormo_plugins import __version__
from kormo_plugins.errors import KormoError, disk_error
from kormo_plugins.evaluation.models.checkpoint import Checkpoint
from kormo_plugins.measures.scores import EvaluationRecord, JudgedResult, ModelRecord, NeedleRecord, SuiteRow, TaskRow
from kormo_plugins.store.atomic import set_aside
from kormo_plugins.store.json_file import seal_fault, sealed, write_json

FILE = "evaluation.json"
FORMAT = 2


class Record:
    """The evaluation of one model, in one file.

    Args:
        folder: where the file is.
        model: whose it is; a record of other weights is set aside under another name, never mixed in.
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
                why="it is damaged or another program's file",
                do="move it away, or choose another folder with --out",
            ) from None
        if (fault := seal_fault(values)) != "":
            raise KormoError(
                where=str(self.path),
                found=fault,
                why="scores that were edited or damaged must not be taken for measured ones",
                do="move it away: the tasks are run again; or choose another folder with --out",
            )
        if old == model_hash and values.get("format") == FORMAT:
            return values
        self.set_aside = set_aside(self.path, self.path.with_name(f"evaluation-{old}.json"))
        return None

    def task(self, hash: str) -> TaskRow | None:
        """A finished task by the hash of its requests."""
        return next((one for one in self.values["tasks"] if one["hash"] == hash), None)

    def add_task(self, row: TaskRow) -> None:
        """Keeps a finished task, on disk at once."""
        rows = {one["hash"]: one for one in self.values["tasks"]}
        self.values["tasks"] = list((rows | {row["hash"]: row}).values())
        self.write()

    def add_results(self, rows: Sequence[SuiteRow]) -> None:
        """Keeps rows of a suite; a row of the same suite, task, metric, shots and limit is replaced."""
        old = {_line(row): row for row in self.values["results"]}
        self.values["results"] = list((old | {_line(row): row for row in rows}).values())
        self.write()

    def set_needle(self, found: NeedleRecord) -> None:
        """Keeps the latest needle in a haystack."""
        self.values["needle"] = found
        self.write()

    def add_judged(self, suite: str, result: JudgedResult) -> None:
        """Keeps the result of a judged suite."""
        self.values["judged"] = {**self.values.get("judged", {}), suite: result}
        self.write()

    def write(self) -> None:
        """Writes the file anew, whole or not at all."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, sealed(self.values))
        except OSError as error:
            raise disk_error(error, self.path.parent) from error


def _line(row: SuiteRow) -> tuple[object, ...]:
    """What makes two rows the same: the newer one takes the place of the older, and what is repeated moves nothing."""
    return row["suite"], row["task"], row["metric"], row["shots"], row["limit"]
