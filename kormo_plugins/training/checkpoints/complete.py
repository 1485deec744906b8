"""Whole checkpoints: a marker with the hash of every file, written last.

Trainer writes straight into `checkpoint-N`, and on resume takes the highest N, complete or not; without the
optimizer's file it even goes on with a fresh optimizer. Here a folder counts only when `complete.json` lists all
its files with their hashes; a folder without it is set aside under another name, and the run goes on from the last
whole one.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.store import complete as marker
from kormo_plugins.store.atomic import SUFFIX, by_umask, flush, set_aside
from kormo_plugins.store.complete import MARKER, fault, read_marker
from kormo_plugins.store.files import FileRecord

_NAME = re.compile(r"checkpoint-(\d+)$")


def mark_complete(folder: Path, step: int, names: Collection[str] | None = None) -> None:
    """Writes the marker: every file's size and XXH3-128. Called when nobody writes any more.

    Args:
        folder: the checkpoint.
        step: optimizer steps that it has seen.
        names: only these files, by their path inside the folder; None: all.
    """
    found = [name for name in file_names(folder) if names is None or name in names]
    write_marker(folder, step, entries(folder, found))


def file_names(folder: Path) -> list[str]:
    """Every file of a checkpoint but the marker, by its path inside the folder, sorted."""
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return [name for name in found if name != MARKER and not name.endswith(SUFFIX)]


def entries(folder: Path, names: Collection[str]) -> dict[str, dict[str, int | str]]:
    """Size and XXH3-128 of each file, as the marker lists them; flushed to the disk before."""
    found = {}
    for name in sorted(names):
        by_umask(folder / name)
        flush(folder / name)
        found[name] = asdict(FileRecord.of(folder / name))
    return found


def write_marker(folder: Path, step: int, files: Mapping[str, object], milestone: bool = False) -> None:
    """Writes the marker itself, atomically; from now on the folder is a whole checkpoint."""
    value: dict[str, object] = {"step": step, **({"milestone": True} if milestone else {}), "files": dict(files)}
    marker.write_marker(folder, value)


def mark_records(folder: Path, names: Collection[str]) -> None:
    """Adds to the marker of a finished model size and XXH3-128 of what else is final now, as far as it is there."""
    found = [name for name in names if (folder / name).is_file()]
    marker.write_marker(folder, read_marker(folder) | {"records": entries(folder, found)})


def unmark_records(folder: Path) -> None:
    """Takes from the marker of a finished model what is not final any longer: a run goes on in its folder."""
    found = read_marker(folder)
    if "records" in found:
        marker.write_marker(folder, {key: value for key, value in found.items() if key != "records"})


def rotate(newest: Path, limit: int | None, keep: Collection[Path] = ()) -> list[Path]:
    """Removes rolling checkpoints older than `newest` until `limit` are left, it included; returns what it removed.

    Milestones, folders whose marker is damaged (they may be milestones) and `keep` are not counted and never removed,
    and nothing newer is touched. A folder loses its marker
    first, so that one which was half removed is not taken for a whole one.
    """
    if not limit or limit < 1:
        return []
    kept = {path.resolve() for path in keep}
    older = [
        path
        for path in checkpoints(newest.parent)
        if step_of(path) < step_of(newest) and not _for_good(path) and path.resolve() not in kept
    ]
    surplus = older[: max(0, len(older) - (limit - 1))]
    for folder in surplus:
        (folder / MARKER).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    return surplus


def _for_good(folder: Path) -> bool:
    marker = read_marker(folder)
    return bool(marker.get("milestone")) or (not marker and (folder / MARKER).is_file())


def checkpoints(output_dir: Path) -> list[Path]:
    """The folders `checkpoint-N`, whole or not, by rising N."""
    found = [path for path in output_dir.glob("checkpoint-*") if path.is_dir() and _NAME.search(path.name)]
    return sorted(found, key=step_of)


def step_of(folder: Path) -> int:
    """The N of `checkpoint-N`."""
    match = _NAME.search(folder.name)
    if match is None:
        raise KormoError(
            where=str(folder),
            found="a folder of that name",
            why="a checkpoint is called checkpoint-N",
            do="give the path of a checkpoint folder",
        )
    return int(match.group(1))


def set_aside_incomplete(output_dir: Path, log: Callable[[str], None]) -> Path | None:
    """Renames broken newest checkpoints to `checkpoint-N.incomplete`; returns the newest whole one.

    Only folders newer than the newest whole one are looked at: nobody would resume from an older one.
    """
    for folder in reversed(checkpoints(output_dir)):
        reason = fault(folder)
        if reason is None:
            return folder
        aside = set_aside(folder, folder.with_name(folder.name + ".incomplete"))
        log(f"{folder.name} is not used: {reason}; kept as {aside.name}")
    return None
