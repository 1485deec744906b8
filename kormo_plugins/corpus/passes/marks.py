"""Progress files: small JSON files, one per chunk, part and decision, written last to record that it is finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kormo_plugins.store.json_file import read_object, write_json


def write_mark(path: Path, value: object) -> None:
    """Writes a progress file with sorted keys."""
    write_json(path, value, sort_keys=True)


def read_mark(path: Path) -> dict[str, Any]:
    """Reads a progress file.

    Raises:
        KormoError: it is missing or damaged, so that the pass that wrote it has to run again.
    """
    again = f"remove {path.parent} and run the command again: the results of other passes are reused"
    return read_object(path, missing=("every finished pass writes it", again), fix=again)
