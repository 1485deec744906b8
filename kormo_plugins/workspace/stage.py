"""Brings an artifact of shards or rows from an object store into a workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kormo_plugins.shards.stage import stage
from kormo_plugins.workspace.artifact import MANIFEST


def stage_artifact(
    url: str,
    out: Path,
    options: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Copies and verifies the folder at `url`, and then its `manifest.json` if it has one.

    The manifest comes last: only with it does the folder count as an artifact, which a build finds and keeps.

    Args:
        url: of a folder of shards or rows, for fsspec.
        out: local folder; for a workspace it must keep the name that it had.
        options: for the filesystem.
        progress: called with (bytes there, bytes in all).
    Returns:
        `files`, `bytes`, and `copied`: the bytes that were not there yet.
    Raises:
        KormoError: nothing finished at `url`, or files that are not those that its manifest lists.
    """
    import fsspec

    (out / MANIFEST).unlink(missing_ok=True)
    found = stage(url, out, options=options, progress=progress)
    filesystem, root = fsspec.core.url_to_fs(url, **(options or {}))
    if filesystem.isfile(f"{root}/{MANIFEST}"):
        partial = out / f"{MANIFEST}.tmp"
        partial.write_bytes(filesystem.cat_file(f"{root}/{MANIFEST}"))
        partial.replace(out / MANIFEST)
    return found
