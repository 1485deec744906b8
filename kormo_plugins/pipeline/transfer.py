"""Brings an artifact from an object store (or any fsspec filesystem) into a workspace, and checks it.

Files are hashed on arrival and kept if they are there whole already, so an interrupted copy goes on. The manifest
comes last: only with it does the folder count as an artifact, which a build then finds and keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.shards.transfer import fetch
from kormo_plugins.store.artifact import MANIFEST, read_manifest
from kormo_plugins.store.atomic import publish
from kormo_plugins.store.files import FORMATS, FileRecord, manifest_records

THREADS = 8
"""Files copied at a time."""


def fetch_artifact(
    url: str,
    out: Path,
    options: dict[str, object] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Copies and verifies the folder at `url`: an artifact, or a folder of shards or rows without a manifest of ours.

    Args:
        url: of the folder, for fsspec (`s3://bucket/shards-ko-…`, a path).
        out: local folder; in a workspace it must keep the name that it had.
        options: for the filesystem.
        progress: called with (bytes there, bytes in all) of the shards or rows.
    Returns:
        `files`, `bytes`, and `copied`: the bytes that were not there yet; manifests apart.
    Raises:
        KormoError: nothing finished at `url`, or files that are not those that its manifest lists.
    """
    import fsspec

    found = {"files": 0, "bytes": 0, "copied": 0}
    try:
        filesystem, root = fsspec.core.url_to_fs(url, **(options or {}))
        ours = filesystem.isfile(f"{root}/{MANIFEST}")
        own = not ours or any(filesystem.isfile(f"{root}/{name}") for name in FORMATS)
    except (OSError, ImportError, ValueError) as error:
        raise KormoError(
            where=url,
            found=f"{type(error).__name__}: {error}",
            why="it cannot be opened",
            do="check the address and its options",
        ) from None
    (out / MANIFEST).unlink(missing_ok=True)
    if own:
        found = fetch(url, out, options=options, progress=progress)
    if not ours:
        return found
    out.mkdir(parents=True, exist_ok=True)
    arriving = out / ".arriving"  # the manifest, until everything that it lists has come
    arriving.mkdir(exist_ok=True)
    (arriving / MANIFEST).write_bytes(filesystem.cat_file(f"{root}/{MANIFEST}"))
    records = manifest_records(out, read_manifest(arriving))

    def fetch_file(name: str) -> int:
        return _fetch(filesystem, f"{root}/{name}", out / name, records[name])

    with ThreadPoolExecutor(THREADS) as pool:
        found["copied"] += sum(pool.map(fetch_file, records))
    found["files"] += len(records)
    found["bytes"] += sum(record.bytes for record in records.values())
    publish(arriving / MANIFEST, out / MANIFEST)
    arriving.rmdir()
    return found


def _fetch(filesystem: Any, source: str, path: Path, record: FileRecord) -> int:
    """Copies one file, unless it is there whole; returns the bytes copied."""
    try:
        record.check(path)
        return 0
    except KormoError:
        path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".arriving")
    try:
        filesystem.get_file(source, str(partial))
    except OSError as error:
        raise KormoError(
            where=source,
            found=f"{type(error).__name__}: {error}",
            why="the manifest beside it lists it",
            do="copy the folder to the store again",
        ) from None
    try:
        record.check(partial)
    except KormoError as error:
        partial.unlink()
        raise KormoError(
            where=source, found=error.found, why=error.why, do="copy the folder to the store again"
        ) from None
    publish(partial, path)
    return record.bytes
