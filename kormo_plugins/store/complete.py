"""`complete.json`: the marker of a whole checkpoint or a finished model, with size and checksum of each file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.store.files import FileRecord

MARKER = "complete.json"


def read_marker(folder: Path) -> dict[str, Any]:
    """What the marker says; empty if there is none, or none that can be read."""
    try:
        value = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def fault(folder: Path, hashes: bool = True) -> str | None:
    """Why the folder is incomplete, or None if it is complete.

    Args:
        hashes: read every file and compare; otherwise only names and sizes.
    """
    if not (folder / MARKER).exists():
        return f"it has no {MARKER}: the process was killed while it was written"
    records = marked_files(folder)
    if records is None:
        return f"{MARKER} cannot be read"
    for name, record in records.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != record.bytes:
            return f"{name} has {path.stat().st_size} bytes instead of {record.bytes}"
        if hashes and FileRecord.of(path) != record:
            return f"{name} was changed after it was written"
    return None


def marked_files(folder: Path) -> dict[str, FileRecord] | None:
    """The files that the marker lists; None if it is not one of ours or was damaged."""
    marker = read_marker(folder)
    files = marker.get("files")
    if type(marker.get("step")) is not int or not isinstance(files, Mapping):
        return None
    try:
        records = {name: FileRecord.parse(_renamed(value), name, folder / MARKER) for name, value in files.items()}
    except KormoError:
        return None
    inside = all(name and not PurePosixPath(name).is_absolute() and ".." not in name.split("/") for name in records)
    return records if inside else None


def check_marked(folder: Path) -> None:
    """Compares every file of a model that carries a marker with what was written.

    Raises:
        KormoError: the folder is one of ours and is not whole. A folder without a marker is another program's.
    """
    if (folder / MARKER).exists() and (reason := fault(folder)) is not None:
        raise KormoError(
            where=str(folder),
            found=reason,
            why=f"the model is not the one that was trained: {MARKER} lists what was written",
            do="copy it again from where it is whole, use an earlier checkpoint, or train it again",
        )


def _renamed(value: object) -> object:
    """Markers of versions up to 0.1 called the checksum `xxh3`."""
    if isinstance(value, Mapping) and "xxh3" in value:
        return {"bytes": value.get("bytes"), "xxh3_128": value["xxh3"]}
    return value
