"""`predictions.jsonl`: an append-only record of predictions with their times and inputs.

Each line has the SHA-256 of its own content and that of the previous line, so that readers detect a line that was
changed, removed or inserted later. That does not protect against an author who rewrites the whole file; for that,
publish the last hash before the next size is trained.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from kormo_plugins.errors import KormoError
from kormo_plugins.measures.experiments import Prediction, PredictionLine

FILE = "predictions.jsonl"


def add(folder: Path, entry: Prediction) -> PredictionLine:
    """Appends an entry with the time, the hash of the previous line and its own; flushed to disk on return.

    Raises:
        KormoError: the existing record was modified.
    """
    before = read(folder)
    written = datetime.now(UTC).isoformat(timespec="seconds")
    line = cast("PredictionLine", {**entry, "time": written, "previous": before[-1]["sha256"] if before else ""})
    line["sha256"] = _hash(line)
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return line


def read(folder: Path) -> list[PredictionLine]:
    """All entries, oldest first.

    Raises:
        KormoError: a line was modified; the message names it.
    """
    path, previous, predictions = folder / FILE, "", []
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for number, text in enumerate(lines, 1):
        try:
            line: PredictionLine = json.loads(text)
            sound = line["previous"] == previous and line["sha256"] == _hash(line)
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise KormoError(
                where=f"{path}: line {number}",
                found="a prediction that was changed or moved after it was written",
                why="a prediction counts only if it cannot be changed once the outcome is known",
                do="restore the file from a copy, or start another ladder with --out",
            )
        previous = line["sha256"]
        predictions.append(line)
    return predictions


def _hash(line: Mapping[str, object]) -> str:
    content = {key: value for key, value in line.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
