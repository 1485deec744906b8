"""The checkpoints that a hub has as revisions of one model, for the study of training dynamics.

step-1000-tokens-4.2B      ours
step1000-tokens4B          as OLMo and Pythia write it; read as well
step-1000                  as KORMo writes it; the tokens per step must be given
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kormo_plugins.errors import Faults, KormoError, in_words
from kormo_plugins.store.atomic import move, publish_folder
from kormo_plugins.store.sums import SUMS, files_of, read_sums, sha256

if TYPE_CHECKING:
    from huggingface_hub import HfApi

UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_AMOUNT = re.compile(r"^(\d+(?:\.\d+)?)([KMBT]?)$", re.IGNORECASE)
_STEP = re.compile(r"(?:^|[-_/])step[-_]?(\d+)(?![\d.])", re.IGNORECASE)
_TOKENS = re.compile(r"tokens?[-_]?(\d+(?:\.\d+)?)([KMBT]?)(?![A-Za-z0-9])", re.IGNORECASE)


FETCHED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "README.md")


@dataclass(frozen=True)
class Fetched:
    """A checkpoint on this disk.

    Args:
        folder: where it is.
        sha256: of the list that every file was compared with; None if the revision has no list.
    """

    folder: Path
    sha256: str | None


@dataclass(frozen=True)
class Point:
    """One checkpoint of a training.

    Args:
        name: of the revision.
        step: optimizer steps.
        tokens: seen so far, from the name; None if it does not say.
    """

    name: str
    step: int
    tokens: int | None


def amount(text: str) -> int:
    """Parses a number of tokens such as `50B`.

    Raises:
        KormoError: it is malformed.
    """
    match = _AMOUNT.match(text.strip())
    if match is None or not float(match[1]):
        raise KormoError(
            where="--every",
            found=repr(text),
            why="it takes a number of tokens",
            do="write 500M, 50B or 1.5T",
        )
    return round(float(match[1]) * UNITS[match[2].upper()])


def points(names: Iterable[str], tokens_per_step: int | None = None) -> list[Point]:
    """The revisions that name a step, by ascending step.

    Args:
        tokens_per_step: for names without a number of tokens.
    """
    parsed = []
    for name in names:
        step, tokens = _STEP.search(name), _TOKENS.search(name)
        if step is None:
            continue
        number = round(float(tokens[1]) * UNITS[tokens[2].upper()]) if tokens else None
        if number is None and tokens_per_step:
            number = int(step[1]) * tokens_per_step
        parsed.append(Point(name, int(step[1]), number))
    return sorted(parsed, key=lambda point: (point.step, point.name))


def spaced(found: Sequence[Point], every: int) -> list[Point]:
    """The first point at or after each multiple of `every` tokens, and the last one.

    Raises:
        KormoError: the name of a revision has no number of tokens.
    """
    unknown = [point.name for point in found if point.tokens is None]
    if unknown:
        raise KormoError(
            where="--every",
            found=f"the revision {unknown[0]}",
            why="its name does not contain its number of tokens",
            do="pass --tokens-per-step: rows per step times tokens per row",
        )
    chosen, following = [], every
    for point in found:
        assert point.tokens is not None
        if point.tokens >= following or point is found[-1]:
            chosen.append(point)
            following = (point.tokens // every + 1) * every
    return chosen


def of_model(repository: str, tokens_per_step: int | None = None, api: HfApi | None = None) -> list[Point]:
    """The checkpoints of a model on the hub: its branches and tags.

    Raises:
        KormoError: the hub cannot be reached, or no revision of the model names a step.
    """
    import httpx
    from huggingface_hub import HfApi as Hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        refs = (api or Hub()).list_repo_refs(repository)
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        raise KormoError(
            where=repository,
            found=in_words(error),
            why="the hub could not list the revisions of this model",
            do="check the id, the network and HF_HUB_OFFLINE",
        ) from None
    checkpoints = points([ref.name for ref in [*refs.branches, *refs.tags]], tokens_per_step)
    if not checkpoints:
        raise KormoError(
            where=repository,
            found=f"{len(refs.branches) + len(refs.tags)} revisions, none of which names a step",
            why="training checkpoints are revisions named step-N",
            do="name a model that publishes its training checkpoints",
        )
    return checkpoints


def fetch(repository: str, point: Point, out: Path, api: HfApi | None = None, identity: str | None = None) -> Fetched:
    """Downloads one checkpoint into its own folder below `out`; only safetensors and JSON, no code.

    The folder gets its final name once every file matches the revision's `SHA256SUMS`.

    Args:
        identity: SHA-256 (hex) of that list, as the author of the model published it elsewhere.
    Raises:
        KormoError: a file differs, is missing or is not listed; the list has another hash; a name leads out of the
            folder; the hub cannot be reached.
    """
    import httpx
    from huggingface_hub import HfApi as Hub
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    hub, folder = api or Hub(), out / point.name.replace("/", "_")
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        siblings = hub.model_info(repository, revision=point.name).siblings or ()
        _refuse_paths(repository, (file.rfilename for file in siblings))
        if folder.is_dir() and not partial.exists():
            move(folder, partial)  # complete files are not downloaded again
        hub.snapshot_download(repository, revision=point.name, local_dir=partial, allow_patterns=[*FETCHED, SUMS])
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx.HTTPError) as error:
        raise KormoError(
            where=f"{repository}@{point.name}",
            found=in_words(error),
            why="this checkpoint could not be downloaded",
            do="repeat the command: what has arrived is kept",
        ) from None
    listed = _check(repository, point, partial, identity)
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    publish_folder(partial, folder)
    return Fetched(folder, listed)


def _refuse_paths(repository: str, names: Iterable[str]) -> None:
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in name.split("/") or "\\" in name or "\0" in name:
            raise KormoError(
                where=repository,
                found=f"the file name {name!r}",
                why="it points outside the download folder",
                do="do not use this repository",
            )


def _check(repository: str, point: Point, folder: Path, identity: str | None) -> str | None:
    """Compares every file with the list, and returns the list's SHA-256; None if there is no list."""
    where, path = f"{repository}@{point.name}", folder / SUMS
    actual = sha256(path) if path.is_file() else None
    if identity is not None and actual != identity.lower():
        raise KormoError(
            where=f"{where}: {SUMS}",
            found="no such file" if actual is None else f"the SHA-256 {actual}",
            why=f"--sha256 says {identity}: it is not what its author published",
            do=f"do not use {folder}; ask the author of the model",
        )
    if actual is None:
        return None
    faults = Faults()
    downloaded = set(_downloaded(folder))
    for name, expected in read_sums(folder).items():
        there = sha256(folder / name) if name in downloaded else None
        if there != expected:
            difference = "missing" if there is None else f"the SHA-256 {there}"
            faults.add(_another(f"{where}: {name}", difference, f"{SUMS} lists {expected}", folder))
        downloaded.discard(name)
    for name in sorted(downloaded):
        faults.add(_another(f"{where}: {name}", "a file that is not in the list", f"{SUMS} lists all", folder))
    faults.raise_any()
    return actual


def _another(where: str, found: str, why: str, folder: Path) -> KormoError:
    return KormoError(
        where=where, found=found, why=why, do=f"do not use {folder}; remove it and fetch the checkpoint again"
    )


def _downloaded(folder: Path) -> list[str]:
    """Files of a download, without the cache of the hub's client."""
    return [name for name in files_of(folder) if not name.startswith(".cache/")]
