"""Checks every byte of a folder against the checksums that were taken when it was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.shards.format import FORMAT, SHARDS_MANIFEST, FileRecord, file_records, read_json

FORMATS = {SHARDS_MANIFEST: FORMAT, "rows.json": "kormo-rows-1", "pairs.json": "kormo-pairs-1"}
"""Manifest file -> its format: the kinds of folder that hold checksums."""


def manifest_files(folder: Path) -> dict[str, FileRecord]:
    """Data files of a folder of shards, of a row plan or of preference pairs.

    Raises:
        KormoError: the folder holds no finished manifest of any kind.
    """
    for name, kind in FORMATS.items():
        path = folder / name
        if path.is_file():
            manifest = read_json(path, kind)
            parts = manifest["shards"] if name == SHARDS_MANIFEST else [manifest]
            return {file: record for part in parts for file, record in file_records(part["files"], path).items()}
    raise KormoError(
        str(folder),
        "no finished manifest",
        f"one of {', '.join(FORMATS)} is written last in a complete folder",
        "build it (again); finished files in it are kept",
    )


def verify(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> dict[str, int]:
    """Reads every file of a folder of shards or rows and compares size and XXH3-128.

    Args:
        progress: called with (bytes checked, bytes in all) after each file.
    Returns:
        `files` and `bytes` that were checked and found whole.
    Raises:
        KormoError: names the first file that is missing, cut short or changed.
    """
    folder = Path(folder)
    records = manifest_files(folder)
    total, done = sum(record.bytes for record in records.values()), 0
    for name, record in records.items():
        record.check(folder / name)
        done += record.bytes
        if progress:
            progress(done, total)
    return {"files": len(records), "bytes": total}
