"""The small JSON files by which a build knows what is done: one for each chunk, part and decision, written last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kormo_plugins.store.json_file import read_object, write_json


def write_mark(path: Path, value: object) -> None:
    """Writes a mark, its keys in order."""
    write_json(path, value, sort_keys=True)


def read_mark(path: Path) -> dict[str, Any]:
    """What a mark says.

    Raises:
        KormoError: it is missing or damaged, so that the stage that wrote it has to run again.
    """
    again = f"remove {path.parent} and start again: what other stages made is used"
    return read_object(path, missing=("a stage that is finished has written it", again), fix=again)
