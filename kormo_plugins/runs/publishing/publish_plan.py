"""What `kormo publish` would upload and what it holds back, for `--dry-run`; the hub is not contacted.

What is published may stay public for ever, so a user can first see the name, size and revision of every file. Files
that are held back are listed with the reason, so that none is missed later without an explanation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from kormo_plugins.runs.publishing.hub_card import CARD, with_metadata
from kormo_plugins.runs.publishing.publish import EXPORT, Revision, refuse_repository, revisions
from kormo_plugins.store.complete import fault
from kormo_plugins.store.sums import SUMS
from kormo_plugins.training.checkpoints.complete import checkpoints

UNKNOWN = "it is unknown which of these files are there already; those are not uploaded again"
"""What a dry run cannot know."""

HELD_BACK = (
    (("optimizer*", "scheduler*", "global_step*", "zero_*", "latest"), "it is only needed to resume training"),
    (("rng_state*", "trainer_state.json"), "it is only needed to resume training"),
    (("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt"), "it may be a pickle, and reading a pickle can run code"),
)
"""Patterns of file and folder names, and why they are not uploaded; the first match counts. Otherwise: `OTHER`."""
OTHER = "it is neither part of the model nor one of its records"


@dataclass(frozen=True)
class SentFile:
    """A file that would be uploaded.

    Args:
        name: in the revision.
        bytes: its size; the card and `SHA256SUMS` are generated for the hub, and have the size that they would have.
    """

    name: str
    bytes: int


@dataclass(frozen=True)
class HeldBack:
    """A file or a whole folder of the run that would not be uploaded.

    Args:
        path: below the run's folder; a folder ends with `/`.
        bytes: size of the file, or of all files in the folder.
        why: the reason, for people.
    """

    path: str
    bytes: int
    why: str


@dataclass(frozen=True)
class PlannedRevision:
    """One revision of the repository, as it would be uploaded.

    Args:
        name: branch of the repository: `main`, `kormo`, `step-1000-tokens-4.2B`.
        folder: where its files are on this disk.
        files: all of them, by name.
    """

    name: str
    folder: Path
    files: tuple[SentFile, ...]

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class PublishPlan:
    """Everything that publishing a run would upload, and everything that it would not."""

    repository: str
    revisions: tuple[PlannedRevision, ...]
    held_back: tuple[HeldBack, ...]


def publish_plan(run: Path, repository: str, licence: str | None = None) -> PublishPlan:
    """The plan of `publish(run, repository, licence=licence)`, made offline.

    Raises:
        KormoError: whatever `publish` raises before its first upload.
    """
    refuse_repository(repository)
    all_revisions = list(revisions(run))
    planned = tuple(
        PlannedRevision(revision.name, revision.folder, _files(run, revision, licence)) for revision in all_revisions
    )
    return PublishPlan(repository, planned, tuple(_held_back(run, all_revisions)))


def _files(run: Path, revision: Revision, licence: str | None) -> tuple[SentFile, ...]:
    sizes = {path.name: path.stat().st_size for path in revision.files}
    if CARD in sizes:
        sizes[CARD] = len(with_metadata(run, revision.folder / CARD, licence).encode())
    sizes[SUMS] = sum(64 + 2 + len(name.encode()) + 1 for name in sizes)  # hash, two spaces, name, end of line
    return tuple(SentFile(name, sizes[name]) for name in sorted(sizes))


def _held_back(run: Path, all_revisions: list[Revision]) -> Iterator[HeldBack]:
    sent = {path for revision in all_revisions for path in revision.files}
    folders = {revision.folder for revision in all_revisions}
    for folder in (run, run / EXPORT, *checkpoints(run)):
        if folder not in folders:
            reason = fault(folder)
            yield HeldBack(_named(run, folder), _size(folder), f"it is not a complete checkpoint: {reason}")
            continue
        for path in sorted(folder.iterdir()):
            if path not in sent and path not in folders and path not in checkpoints(run):
                yield HeldBack(_named(run, path), _size(path), why_held_back(path.name))


def why_held_back(name: str) -> str:
    """Why a file or folder of a run is not uploaded."""
    fitting = (why for patterns, why in HELD_BACK if any(fnmatch(name, pattern) for pattern in patterns))
    return next(fitting, OTHER)


def _named(run: Path, path: Path) -> str:
    return path.relative_to(run).as_posix() + ("/" if path.is_dir() else "")


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [below for below in path.rglob("*") if below.is_file()]
    return sum(file.stat().st_size for file in files)
