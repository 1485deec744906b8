"""What `kormo publish` would send, and what it holds back, without asking the hub: for `--dry-run`.

A hub may keep what it is sent for ever, so whoever publishes can read every file's name, size and revision first. What
is held back is told with the reason, since a file that is missed later is looked for here.
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

UNKNOWN = "it was not asked whether the hub has some of it already; files that it has are not sent again"
"""What a dry run cannot know, as it stays offline."""

HELD_BACK = (
    (("optimizer*", "scheduler*", "global_step*", "zero_*", "latest"), "only a training that goes on needs it"),
    (("rng_state*", "trainer_state.json"), "only a training that goes on needs it"),
    (("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt"), "it may be a pickle, and opening a pickle can run code"),
)
"""Names of files or folders, and why they are not sent; the first that fits. Of others: `OTHER`."""
OTHER = "it is no part of the model, nor one of the records that go with it"


@dataclass(frozen=True)
class SentFile:
    """A file that would be sent.

    Args:
        name: in the revision.
        bytes: its size; of a card and of `SHA256SUMS`, which are written for the hub, the size that they would have.
    """

    name: str
    bytes: int


@dataclass(frozen=True)
class HeldBack:
    """A file or a whole folder of the run that stays here.

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
    """One revision of the repository, as it would be sent.

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
    """All that a publication of a run would send, and all that it would not."""

    repository: str
    revisions: tuple[PlannedRevision, ...]
    held_back: tuple[HeldBack, ...]


def publish_plan(run: Path, repository: str, licence: str | None = None) -> PublishPlan:
    """The plan of `publish(run, repository, licence=licence)`; nothing is sent, and nobody is asked.

    Raises:
        KormoError: what `publish` refuses before it sends anything.
    """
    refuse_repository(repository)
    found = list(revisions(run))
    planned = tuple(
        PlannedRevision(revision.name, revision.folder, _files(run, revision, licence)) for revision in found
    )
    return PublishPlan(repository, planned, tuple(_held_back(run, found)))


def _files(run: Path, revision: Revision, licence: str | None) -> tuple[SentFile, ...]:
    sizes = {path.name: path.stat().st_size for path in revision.files}
    if CARD in sizes:
        sizes[CARD] = len(with_metadata(run, revision.folder / CARD, licence).encode())
    sizes[SUMS] = sum(64 + 2 + len(name.encode()) + 1 for name in sizes)  # hash, two spaces, name, end of line
    return tuple(SentFile(name, sizes[name]) for name in sorted(sizes))


def _held_back(run: Path, found: list[Revision]) -> Iterator[HeldBack]:
    sent = {path for revision in found for path in revision.files}
    folders = {revision.folder for revision in found}
    for folder in (run, run / EXPORT, *checkpoints(run)):
        if folder not in folders:
            reason = fault(folder)
            yield HeldBack(_named(run, folder), _size(folder), f"it is no whole checkpoint: {reason}")
            continue
        for path in sorted(folder.iterdir()):
            if path not in sent and path not in folders and path not in checkpoints(run):
                yield HeldBack(_named(run, path), _size(path), why_held_back(path.name))


def why_held_back(name: str) -> str:
    """Why a file or folder of a run is not sent."""
    fitting = (why for patterns, why in HELD_BACK if any(fnmatch(name, pattern) for pattern in patterns))
    return next(fitting, OTHER)


def _named(run: Path, path: Path) -> str:
    return path.relative_to(run).as_posix() + ("/" if path.is_dir() else "")


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [below for below in path.rglob("*") if below.is_file()]
    return sum(file.stat().st_size for file in files)
