"""Verifies every byte of a folder against the checksums recorded when it was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kormo_plugins.shards.format import IDS
from kormo_plugins.store.files import manifest_files


def verify_lengths(folder: Path) -> None:
    """Checks all files of a shard folder except the token ids: the inputs of a row plan.

    Raises:
        KormoError: names the first file that is missing, truncated or changed.
    """
    for name, record in manifest_files(folder).items():
        record.check(folder / name, contents=not name.endswith(IDS))


def verify(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> dict[str, int]:
    """Reads every file of a folder of shards or rows and compares size and XXH3-128.

    Args:
        progress: called with (bytes checked, bytes in total) after each file.
    Returns:
        `files` and `bytes` that were checked.
    Raises:
        KormoError: names the first file that is missing, truncated or changed.
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
