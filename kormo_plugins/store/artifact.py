"""Artifacts: folders named by their kind and by the hash of everything that they were built from.

`corpus-embedded-3f9a1c0b2d4e/` exists with a `manifest.json` or does not exist at all: it is built under a temporary
name, the manifest is written last, and one rename publishes it. A killed build leaves a `.partial` folder, which the
next build of the same artifact continues; it is never mistaken for a finished one.

The builder holds a lease (`.leases/`), and each attempt has a folder of its own. A builder that was presumed dead and
wakes up finds that it has lost its lease, and publishes nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kormo_plugins import __version__
from kormo_plugins.errors import KormoError, writing
from kormo_plugins.store.atomic import SUFFIX, move, publish
from kormo_plugins.store.files import FORMATS, FileRecord, file_list, has_own_manifest, manifest_files, manifest_records
from kormo_plugins.store.fingerprint import IDENTITY_LENGTH, bytes_checksum, canonical_json, identity
from kormo_plugins.store.json_file import write_json
from kormo_plugins.store.lease import Lease, LeaseLost

MANIFEST = "manifest.json"
LEASES = ".leases"
"""Folder of a workspace that holds the leases of its artifacts."""
FORMAT = 2
"""Incremented when artifacts of an older layout must not be reused."""

Make = Callable[[Path], Mapping[str, object]]
"""Writes an artifact's content into the folder it is given, and returns statistics."""

SMALL = 1 << 20
"""Files of up to so many bytes are compared with their checksum at every lookup of the artifact. Larger files are
compared by size, and by checksum when they are read."""

READ_WHOLE = ("tokenizer",)
"""Kinds of artifacts that other libraries (transformers, tokenizers) read: every file is verified beforehand."""

POLL = 0.5
"""Seconds between two checks by a waiting process."""


@dataclass(frozen=True)
class Spec:
    """Describes an artifact before it is built.

    Args:
        kind: `corpus`, `tokenizer`, `shards`, `rows`, `init`, …
        name: for people; part of the folder's name.
        inputs: everything that the content depends on, as JSON values. Code that changes what it builds increments a
            version number in here.
    """

    kind: str
    name: str
    inputs: Mapping[str, object]

    @property
    def hash(self) -> str:
        """The artifact's identity: a hash of kind and inputs (not of the name)."""
        return identity({"format": FORMAT, "kind": self.kind, "inputs": self.inputs})[:IDENTITY_LENGTH]

    @property
    def folder(self) -> str:
        """`kind-name-hash`, safe for any filesystem."""
        return f"{_prefix(self.kind, self.name)}{self.hash}"


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

    @property
    def files(self) -> dict[str, FileRecord]:
        """POSIX path -> size and checksum of each file, except those listed by a manifest inside the folder."""
        return manifest_records(self.path, self.manifest)

    @property
    def digest(self) -> str:
        """Identity of the content, for the inputs of what is built from it; damaged content has a different one."""
        return identity(self.manifest["files"])[:IDENTITY_LENGTH]


def _prefix(kind: str, name: str) -> str:
    safe = "".join(c if c.isalnum() or c in "._" else "_" for c in name)[:48]
    return f"{kind}-{safe}-"


def is_built(workspace: Path, kind: str, name: str) -> bool:
    """Whether any artifact of this kind and name exists, whatever it was built from."""
    prefix = _prefix(kind, name)
    folders = workspace.glob(f"{kind}-*")
    return any(folder.name.startswith(prefix) and (folder / MANIFEST).is_file() for folder in folders)


def find(workspace: Path, spec: Spec, check: bool = True) -> Artifact | None:
    """The artifact if it is built, else None.

    Args:
        check: verify its files; False for callers that verify every byte themselves.
    Raises:
        KormoError: the folder exists, but its manifest is missing, unreadable or of another artifact, or a file is
            missing, has a different size or (up to `SMALL` bytes) different contents.
    """
    folder = workspace / spec.folder
    if not folder.exists():
        return None
    manifest = read_manifest(folder)
    if manifest["hash"] != spec.hash:
        raise _not_ours(folder)
    if check:
        check_files(folder, manifest)
    return Artifact(folder, manifest)


def check_files(folder: Path, manifest: Mapping[str, object]) -> None:
    """Compares the sizes of all files of an artifact, and the contents of small ones.

    Raises:
        KormoError: names the first file that differs.
    """
    try:
        records = manifest_records(folder, manifest)
        _check(folder, records, manifest["kind"] in READ_WHOLE)
        if has_own_manifest(folder):
            _check(folder, manifest_files(folder), False)
    except KormoError as error:
        again = f"remove {folder} and run the same command again to rebuild it"
        raise KormoError(where=error.where, found=error.found, why=error.why, do=again) from None


def _check(folder: Path, records: Mapping[str, FileRecord], whole: bool) -> None:
    budget = 64 * SMALL  # keeps a lookup of many small files cheap
    for name, record in records.items():
        contents = whole or name in FORMATS or record.bytes <= min(SMALL, budget)
        budget -= record.bytes if contents else 0
        record.check(folder / name, contents)


def read_manifest(folder: Path) -> dict[str, object]:
    """The manifest of an artifact.

    Raises:
        KormoError: it is missing, unreadable, or not what was written.
    """
    try:
        manifest: dict[str, object] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        shaped = all(isinstance(manifest[key], kind) for key, kind in _SHAPE.items())
        if shaped and manifest["checksum"] == _checksum(manifest):
            return manifest
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise _not_ours(folder)


_SHAPE: dict[str, type] = {"kind": str, "name": str, "hash": str, "inputs": dict, "stats": dict, "files": dict}


def _checksum(manifest: Mapping[str, object]) -> str:
    """XXH3-128 of a manifest's values, without its own checksum."""
    return bytes_checksum(canonical_json({key: v for key, v in manifest.items() if key != "checksum"}).encode())


def _not_ours(folder: Path) -> KormoError:
    return KormoError(
        where=str(folder / MANIFEST),
        found="no manifest that matches the folder's name",
        why="the folder was changed by hand or copied in part, so its contents cannot be trusted",
        do=f"remove {folder} and run the same command again to rebuild it",
    )


def build(
    workspace: Path,
    spec: Spec,
    make: Make,
    log: Callable[[str], None] = lambda line: None,
) -> Artifact:
    """The artifact; built by this process unless it exists or another process is building it.

    Args:
        workspace: folder of all artifacts.
        spec: what to build.
        make: writes the content into the folder that it is given and returns statistics. The folder may hold files of
            an earlier, killed attempt, from which it is expected to continue.
        log: called with one line when a build starts, is found, or is waited for.
    Raises:
        KormoError: the disk is full, the existing artifact is damaged, or whatever `make` raises.
    """
    _require_folder(workspace)
    lease = Lease(workspace / LEASES / spec.folder)
    waiting = False
    while True:
        artifact = find(workspace, spec)
        if artifact:
            log(f"{spec.kind:<10} {spec.folder}: already built")
            return artifact
        if not _acquired(lease, workspace):
            if not waiting:
                log(f"{spec.kind:<10} {spec.folder}: another process is building it; waiting")
                waiting = True
            time.sleep(POLL)
            continue
        try:
            with lease.held():
                return find(workspace, spec) or _Attempt(workspace, spec, lease, log).build(make)
        except LeaseLost:
            log(f"{spec.kind:<10} {spec.folder}: another process has taken over the build; waiting for it")
            lease, waiting = Lease(workspace / LEASES / spec.folder), True


def _require_folder(workspace: Path) -> None:
    """Creates the workspace.

    Raises:
        KormoError: a file has that name, or the folder may not be created.
    """
    with writing(workspace):
        try:
            workspace.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            taken = next(path for path in (workspace, *workspace.parents) if os.path.lexists(path))
            raise KormoError(
                where=f"workspace {workspace}",
                found=f"{taken}, which is not a folder",
                why="the workspace must be a folder",
                do=f"choose another workspace, or move {taken} away",
            ) from error


def _acquired(lease: Lease, workspace: Path) -> bool:
    with writing(workspace):
        return lease.acquire()


@dataclass(frozen=True)
class _Attempt:
    """One attempt to build, in a folder that no other attempt has.

    A process that was suspended and presumed dead may wake up at any time. It finds its folder gone (the next attempt
    has renamed it, and continues from the finished files in it), and publishes nothing.
    """

    workspace: Path
    spec: Spec
    lease: Lease
    log: Callable[[str], None]

    @property
    def partial(self) -> Path:
        """The folder that is filled; its name has the lease's token, so that no other builder writes into it."""
        return self.workspace / f".{self.spec.folder}.{self.lease.token}.partial"

    def build(self, make: Make) -> Artifact:
        """Fills the folder, writes the manifest and gives the folder its name.

        Args:
            make: writes into the folder that it is given; returns the statistics for the manifest.
        Raises:
            KormoError: what `make` raises, the disk is full, or another builder has taken the lease over.
        """
        start = time.monotonic()
        self.log(f"{self.spec.kind:<10} {self.spec.folder}: building")
        try:
            self._adopt()
            stats = dict(make(self.partial))
            manifest = self._manifest(stats, time.monotonic() - start)
            self._publish()
        except Exception as error:
            if not self.lease.still_mine():
                shutil.rmtree(self.partial, ignore_errors=True)  # what this process wrote after it had lost the lease
                raise LeaseLost(self.workspace / self.spec.folder) from error
            with writing(self.workspace):
                raise
        self.log(f"{self.spec.kind:<10} {self.spec.folder}: done in {manifest['seconds']:.1f} s")
        return Artifact(self.workspace / self.spec.folder, manifest)

    def _adopt(self) -> None:
        """Takes over the folder of a killed attempt; unfinished files in it may still be open elsewhere and are
        removed."""
        leftovers = [
            self.workspace / f".{self.spec.folder}.partial",
            *self.workspace.glob(f".{self.spec.folder}.*.partial"),
        ]
        for folder in sorted((path for path in leftovers if path.is_dir()), key=_modified):
            if self.partial.exists():
                shutil.rmtree(self.partial)
            try:
                move(folder, self.partial)
            except FileNotFoundError:
                continue
        self.partial.mkdir(parents=True, exist_ok=True)
        for file in [*self.partial.rglob(f"*{SUFFIX}"), self.partial / MANIFEST]:
            if not file.is_dir():
                file.unlink(missing_ok=True)

    def _manifest(self, stats: Mapping[str, object], seconds: float) -> dict[str, object]:
        manifest = {
            "kind": self.spec.kind,
            "name": self.spec.name,
            "hash": self.spec.hash,
            "format": FORMAT,
            "inputs": json.loads(canonical_json(self.spec.inputs)),
            "stats": json.loads(canonical_json(stats)),
            "files": file_list(self.partial),
            "seconds": round(seconds, 3),
            "kormo_plugins": __version__,
        }
        write_json(self.partial / MANIFEST, manifest | {"checksum": _checksum(manifest)})
        return manifest

    def _publish(self) -> None:
        if not self.lease.still_mine():
            raise LeaseLost(self.partial)
        folder = self.workspace / self.spec.folder
        try:
            publish(self.partial, folder)
        except OSError:
            if not folder.exists():
                raise
            shutil.rmtree(self.partial, ignore_errors=True)  # another attempt was a moment faster
            raise LeaseLost(folder) from None


def _modified(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
