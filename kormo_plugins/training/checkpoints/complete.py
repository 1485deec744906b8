"""Complete checkpoints: a marker with the hash of every file, written last.

Trainer writes directly into `checkpoint-N`, and resumes from the highest N, complete or not; if the optimizer's file is
missing, it even continues with a new optimizer. Here a folder counts only if `complete.json` lists all its files with
their hashes; a folder without it is moved aside, and the run resumes from the last complete one.
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
    """Writes the marker: every file's size and XXH3-128. Called when all ranks have finished writing.

    Args:
        folder: the checkpoint.
        step: optimizer steps so far.
        names: only these files, by their path inside the folder; None: all.
    """
    files = [name for name in file_names(folder) if names is None or name in names]
    write_marker(folder, step, entries(folder, files))


def file_names(folder: Path) -> list[str]:
    """All files of a checkpoint except the marker, by path inside the folder, sorted."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return [name for name in names if name != MARKER and not name.endswith(SUFFIX)]


def entries(folder: Path, names: Collection[str]) -> dict[str, dict[str, int | str]]:
    """Size and XXH3-128 of each file, as listed by the marker; the files are flushed to disk first."""
    records = {}
    for name in sorted(names):
        by_umask(folder / name)
        flush(folder / name)
        records[name] = asdict(FileRecord.of(folder / name))
    return records


def write_marker(folder: Path, step: int, files: Mapping[str, object], milestone: bool = False) -> None:
    """Writes the marker atomically; from then on the folder is a complete checkpoint."""
    value: dict[str, object] = {"step": step, **({"milestone": True} if milestone else {}), "files": dict(files)}
    marker.write_marker(folder, value)


def mark_records(folder: Path, names: Collection[str]) -> None:
    """Adds size and XXH3-128 of other files that are now final, if they exist, to the marker of a finished model."""
    present = [name for name in names if (folder / name).is_file()]
    marker.write_marker(folder, read_marker(folder) | {"records": entries(folder, present)})


def unmark_records(folder: Path) -> None:
    """Removes files that are no longer final from the marker of a finished model, because a run continues in its
    folder."""
    content = read_marker(folder)
    if "records" in content:
        marker.write_marker(folder, {key: value for key, value in content.items() if key != "records"})


def rotate(newest: Path, limit: int | None, keep: Collection[Path] = ()) -> list[Path]:
    """Removes rolling checkpoints older than `newest` until `limit` are left, including it; returns those removed.

    Milestones, folders with a damaged marker (which may be milestones) and `keep` are neither counted nor removed, and
    nothing newer is changed. The marker is removed first, so that a half-removed folder is not taken for a complete
    one.
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
    """The folders `checkpoint-N`, complete or not, by ascending N."""
    folders = [path for path in output_dir.glob("checkpoint-*") if path.is_dir() and _NAME.search(path.name)]
    return sorted(folders, key=step_of)


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
    """Renames newer incomplete checkpoints to `checkpoint-N.incomplete`; returns the newest complete one.

    Older folders are not checked, as no run would resume from them.
    """
    for folder in reversed(checkpoints(output_dir)):
        reason = fault(folder)
        if reason is None:
            return folder
        aside = set_aside(folder, folder.with_name(folder.name + ".incomplete"))
        log(f"{folder.name} is not used: {reason}; kept as {aside.name}")
    return None
