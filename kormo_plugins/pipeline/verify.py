"""Verifies that the files of an artifact are still those that were written.

Size and XXH3-128 of each file are recorded in the manifest when the artifact is finished. Folders of shards and of rows
hash their data while they write it; for those the artifact's manifest lists only their own manifest, which lists the
rest, so that no data is read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.store.files import FileRecord, has_own_manifest, manifest_files, manifest_records


@dataclass
class Checked:
    """The result for one folder.

    Args:
        folder: the folder.
        files: number of files compared.
        bytes: bytes read of the intact ones.
        damaged: an error for each of the others; `where` is the file.
    """

    folder: Path
    files: int = 0
    bytes: int = 0
    damaged: list[KormoError] = field(default_factory=list)


def verify_folder(
    folder: Path, manifest: Mapping[str, object] | None = None, progress: Callable[[int], None] = lambda bytes: None
) -> Checked:
    """Reads every file of a folder and compares it with what was written.

    Args:
        folder: an artifact, or a folder of shards or rows by itself.
        manifest: the artifact's; None for a folder without one.
        progress: called with the bytes of each file that was read.
    Returns:
        what was checked; damage is returned and not raised, so that all of it is reported at once.
    """
    checked = Checked(folder)

    def compare(records: Mapping[str, FileRecord]) -> None:
        """Reads files against their records; those that differ are collected."""
        for name, record in records.items():
            checked.files += 1
            try:
                record.check(folder / name)
            except KormoError as error:
                checked.damaged.append(error)
                continue
            checked.bytes += record.bytes
            progress(record.bytes)

    try:
        if manifest is not None:
            compare(manifest_records(folder, manifest))
        if manifest is None or (has_own_manifest(folder) and not checked.damaged):
            compare(manifest_files(folder))
    except KormoError as error:  # a list of files that is itself damaged
        checked.damaged.append(error)
    return checked
