"""Artifacts: folders named by what they are and by the hash of all that they were built from.

`corpus-embedded-3f9a1c0b2d4e/` exists with a `manifest.json` or it does not exist at all: it is built under a
temporary name, the manifest is written last, and one rename makes it real. A killed build leaves a `.partial`
folder, which the next build of the same artifact continues; nothing ever takes it for whole.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kormo_plugins import __version__
from kormo_plugins.errors import KormoError, disk_error
from kormo_plugins.store.atomic import flush
from kormo_plugins.store.files import file_list
from kormo_plugins.store.fingerprint import IDENTITY_LENGTH, bytes_checksum, canonical_json, identity
from kormo_plugins.store.json_file import write_json
from kormo_plugins.store.lease import Lease

MANIFEST = "manifest.json"
FORMAT = 2
"""Raised when artifacts of an older layout must not be reused."""

Make = Callable[[Path], Mapping[str, Any]]
"""Writes an artifact's content into the folder it is given, and returns statistics."""

POLL = 0.5
"""Seconds between two looks of a waiting process."""


@dataclass(frozen=True)
class Spec:
    """What an artifact is, before it exists.

    Args:
        kind: `corpus`, `tokenizer`, `shards`, `rows`, `init`, …
        name: readable name, for people; part of the folder's name.
        inputs: everything that the content depends on, as JSON values. Code that changes the content of what it
            builds raises a version number in here.
    """

    kind: str
    name: str
    inputs: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """The artifact's identity: a hash of kind and inputs (not of the name)."""
        return identity({"format": FORMAT, "kind": self.kind, "inputs": self.inputs})[:IDENTITY_LENGTH]

    @property
    def folder(self) -> str:
        """`kind-name-hash`, safe for any filesystem."""
        safe = "".join(c if c.isalnum() or c in "._" else "_" for c in self.name)[:48]
        return f"{self.kind}-{safe}-{self.hash}"


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: its folder and its manifest."""

    path: Path
    manifest: dict[str, Any]

    @property
    def hash(self) -> str:
        """Identity of the artifact, for the inputs of those built from it."""
        return str(self.manifest["hash"])

    @property
    def stats(self) -> dict[str, Any]:
        """What the build counted."""
        return dict(self.manifest["stats"])


def find(workspace: Path, spec: Spec) -> Artifact | None:
    """The artifact if it is built, else None.

    Raises:
        KormoError: the folder is there, but its manifest is missing, unreadable or another artifact's.
    """
    folder = workspace / spec.folder
    if not folder.exists():
        return None
    manifest = read_manifest(folder)
    if manifest["hash"] != spec.hash:
        raise _not_ours(folder)
    return Artifact(folder, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an artifact.

    Raises:
        KormoError: it is missing, unreadable, or not what was written.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["checksum"] == _checksum(manifest):
            return manifest
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise _not_ours(folder)


def _checksum(manifest: Mapping[str, Any]) -> str:
    """XXH3-128 of a manifest's values, its own checksum aside."""
    return bytes_checksum(canonical_json({key: v for key, v in manifest.items() if key != "checksum"}).encode())


def _not_ours(folder: Path) -> KormoError:
    return KormoError(
        where=str(folder / MANIFEST),
        found="no manifest that matches the folder's name",
        why="the folder was changed by hand or copied in part, so what is in it cannot be trusted",
        do=f"remove {folder} and run again: it is built anew",
    )


def build(
    workspace: Path,
    spec: Spec,
    make: Make,
    log: Callable[[str], None] = lambda line: None,
) -> Artifact:
    """The artifact, built by this process if nobody has built it and nobody is building it.

    Args:
        workspace: folder of all artifacts.
        spec: what to build.
        make: writes the content into the folder it is given and returns statistics. It may find files of an earlier,
            killed attempt there and is expected to go on from them.
        log: called with one line when something starts, is found, or is waited for.
    Raises:
        KormoError: the disk is full, or whatever `make` raises.
    """
    _require_folder(workspace)
    lease = Lease(workspace / f".{spec.folder}.lease")
    waiting = False
    while True:
        found = find(workspace, spec)
        if found:
            log(f"{spec.kind:<10} {spec.folder}: built already")
            return found
        if lease.acquire():
            break
        if not waiting:
            log(f"{spec.kind:<10} {spec.folder}: another process is building it; waiting")
            waiting = True
        time.sleep(POLL)
    with lease.held():
        return find(workspace, spec) or _build(workspace, spec, make, log)


def _require_folder(workspace: Path) -> None:
    """Makes the workspace.

    Raises:
        KormoError: a file has its name, or it may not be made.
    """
    try:
        workspace.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        taken = next(path for path in (workspace, *workspace.parents) if os.path.lexists(path))
        raise KormoError(
            where=f"workspace {workspace}",
            found=f"{taken}, which is no folder",
            why="all artifacts are written into a folder of that name",
            do=f"name another workspace, or move {taken} away",
        ) from error
    except OSError as error:
        raise disk_error(error, workspace) from error


def _build(workspace: Path, spec: Spec, make: Make, log: Callable[[str], None]) -> Artifact:
    partial = workspace / f".{spec.folder}.partial"
    partial.mkdir(parents=True, exist_ok=True)
    log(f"{spec.kind:<10} {spec.folder}: building")
    start = time.monotonic()
    try:
        stats = dict(make(partial))
        manifest = {
            "kind": spec.kind,
            "name": spec.name,
            "hash": spec.hash,
            "format": FORMAT,
            "inputs": json.loads(canonical_json(spec.inputs)),
            "stats": json.loads(canonical_json(stats)),
            "files": file_list(partial),
            "seconds": round(time.monotonic() - start, 3),
            "kormo_plugins": __version__,
        }
        write_json(partial / MANIFEST, manifest | {"checksum": _checksum(manifest)})
    except OSError as error:
        raise disk_error(error, workspace) from error
    folder = workspace / spec.folder
    partial.rename(folder)
    flush(workspace)  # the new name
    log(f"{spec.kind:<10} {spec.folder}: done in {manifest['seconds']:.1f} s")
    return Artifact(folder, manifest)
