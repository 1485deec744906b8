"""`complete.json`: marks a complete checkpoint or a finished model, with size and checksum of each file.

step, milestone   optimizer steps so far; whether the checkpoint is kept for good
files             the model's files: size and XXH3-128
records           the same for other files that are final when a run ends: metrics, samples, card
format, checksum  of the marker itself; markers of earlier versions have neither, and no records
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.store.files import FileRecord
from kormo_plugins.store.json_file import CHECKSUM, SEALED, seal_fault, sealed, write_json
from kormo_plugins.store.lease import RUN, at_work

MARKER = "complete.json"
MODEL_KEYS = ("step", "milestone", "files")
"""What a marker says of the model."""
RESTORE = "restore it from a copy of the run, or train the run again"


def read_marker(folder: Path) -> dict[str, Any]:
    """The content of the marker; empty if there is none or it was changed."""
    try:
        value = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and not seal_fault(value, unnamed=True) else {}


def write_marker(folder: Path, marker: Mapping[str, object]) -> None:
    """Writes the marker atomically, with its own checksum."""
    write_json(folder / MARKER, sealed({"format": SEALED, **marker}))


def model_text(folder: Path) -> str:
    """The part of the marker that describes the model, in the form of the first version: the model's identity.

    Raises:
        OSError: there is no marker.
        ValueError: it cannot be read.
    """
    text = (folder / MARKER).read_text(encoding="utf-8")
    marker = json.loads(text)
    if not isinstance(marker, dict) or "format" not in marker:
        return text
    return json.dumps({key: marker[key] for key in MODEL_KEYS if key in marker}, ensure_ascii=False, indent=2) + "\n"


def record_fault(path: Path) -> str:
    """How a record of a finished run differs from what it was when the run ended.

    Args:
        path: metrics, samples or card, beside the run's marker.
    Returns:
        The file's name and what is wrong with it, or with the marker. Empty if nothing is wrong, or if nothing was
        recorded: the run has not ended, or an earlier version trained it.
    """
    if not (path.parent / MARKER).is_file():
        return ""
    marker = read_marker(path.parent)
    if not marker:
        return f"{MARKER} {_why_unread(path.parent)}"
    records = marker.get("records", {})
    value = records.get(path.name) if isinstance(records, Mapping) else None
    if value is None:
        return ""
    if not path.is_file():
        return f"{path.name} is missing, but existed when the run ended"
    same = FileRecord.of(path) == FileRecord.parse(value, path.name, path.parent / MARKER)
    return "" if same else f"{path.name} was changed after the run had ended"


def unchanged(path: Path) -> Path:
    """The path of a record, after comparing it with its checksum from the end of the run.

    Raises:
        KormoError: it was changed since.
    """
    if fault := record_fault(path):
        raise KormoError(
            where=str(path),
            found=fault,
            why=f"{MARKER} records its checksum at the end of the run, and a changed file is not used",
            do=RESTORE,
        )
    return path


def fault(folder: Path, hashes: bool = True) -> str | None:
    """Why the folder is incomplete, or None if it is complete.

    Args:
        hashes: compare the contents of every file; otherwise only names and sizes.
    """
    if not (folder / MARKER).exists():
        return f"it has no {MARKER}{_why_unmarked(folder)}"
    records = marked_files(folder)
    if records is None:
        return f"{MARKER} {_why_unread(folder)}"
    for name, record in records.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != record.bytes:
            return f"{name} has {path.stat().st_size} bytes instead of {record.bytes}"
        if hashes and FileRecord.of(path) != record:
            return f"{name} was changed after it was written"
    return None


def _why_unmarked(folder: Path) -> str:
    """Whether a run is still at work on a folder, its own or that of its newest checkpoint."""
    newer = (path for path in folder.parent.glob("checkpoint-*") if _number(path) > _number(folder))
    whose = [folder.parent] if _number(folder) >= 0 and not any((path / MARKER).is_file() for path in newer) else []
    holder = next(filter(None, (at_work(place / RUN) for place in (folder, *whose))), "")
    return f" yet: {holder}" if holder else ": the process was stopped or killed before it was complete"


def _number(folder: Path) -> int:
    """The N of `checkpoint-N`; -1 of any other folder."""
    number = folder.name.removeprefix("checkpoint-")
    return int(number) if number != folder.name and number.isdecimal() else -1


def marked_files(folder: Path) -> dict[str, FileRecord] | None:
    """The files that the marker lists; None if it is damaged or another program's."""
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
        KormoError: the folder has a marker and is not complete. A folder without one was written by another program.
    """
    if (folder / MARKER).exists() and (reason := fault(folder)) is not None:
        raise KormoError(
            where=str(folder),
            found=reason,
            why=f"the model is not the one that was trained: {MARKER} lists what was written",
            do="copy it again from an intact source, use an earlier checkpoint, or train it again",
        )


def _why_unread(folder: Path) -> str:
    try:
        value = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return "cannot be read"
    marked = isinstance(value, dict) and not {"format", CHECKSUM}.isdisjoint(value)
    return "was changed after it was written" if marked and seal_fault(value, unnamed=True) else "cannot be read"


def _renamed(value: object) -> object:
    """Markers of versions up to 0.1 called the checksum `xxh3`."""
    if isinstance(value, Mapping) and "xxh3" in value:
        return {"bytes": value.get("bytes"), "xxh3_128": value["xxh3"]}
    return value
