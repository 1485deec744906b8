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
from typing import Any

from kormo_plugins import __version__
from kormo_plugins.errors import KormoError, disk_error
from kormo_plugins.evaluation.checkpoint import Checkpoint
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
        self.values: dict[str, Any] = self._read(model.hash) or {"tasks": [], "results": []}
        self.values |= {
            "format": FORMAT,
            "kormo_plugins": __version__,
            "model": {
                "path": str(model.path.resolve()),
                "hash": model.hash,
                "family": model.family,
                "chat": model.chat,
                "positions": model.positions,
            },
        }

    def _read(self, model_hash: str) -> dict[str, object] | None:
        if not self.path.is_file():
            return None
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
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
            return dict(values)
        self.set_aside = set_aside(self.path, self.path.with_name(f"evaluation-{old}.json"))
        return None

    def task(self, hash: str) -> dict[str, Any] | None:
        """A finished task by the hash of its requests."""
        return next((one for one in self.values["tasks"] if one["hash"] == hash), None)

    def add_task(self, row: dict[str, Any]) -> None:
        """Keeps a finished task, on disk at once."""
        self.values["tasks"] = _with(self.values["tasks"], [row], ("hash",))
        self.write()

    def add_results(self, rows: list[dict[str, Any]]) -> None:
        """Keeps rows of a suite; a row of the same suite, task, metric, shots and limit is replaced."""
        keys = ("suite", "task", "metric", "shots", "limit")
        self.values["results"] = _with(self.values["results"], rows, keys)
        self.write()

    def set(self, key: str, value: object) -> None:
        """Keeps anything else."""
        self.values[key] = value
        self.write()

    def write(self) -> None:
        """Writes the file anew, whole or not at all."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, sealed(self.values))
        except OSError as error:
            raise disk_error(error, self.path.parent) from error


def _with(
    old: Sequence[dict[str, object]], new: Sequence[dict[str, object]], keys: Sequence[str]
) -> list[dict[str, object]]:
    """Rows of the same keys in the places that they had, the others behind: what is repeated moves nothing."""
    rows = {tuple(row[key] for key in keys): row for row in old}
    return list((rows | {tuple(row[key] for key in keys): row for row in new}).values())
