"""The checkpoints that a hub keeps as revisions of one model, for who studies how it learned.

step-1000-tokens-4.2B      ours
step1000-tokens4B          OLMo's and Pythia's ways of writing it are read as well
step-1000                  KORMo's: the number of tokens must be told
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_AMOUNT = re.compile(r"^(\d+(?:\.\d+)?)([KMBT]?)$", re.IGNORECASE)
_STEP = re.compile(r"(?:^|[-_/])step[-_]?(\d+)(?![\d.])", re.IGNORECASE)
_TOKENS = re.compile(r"tokens?[-_]?(\d+(?:\.\d+)?)([KMBT]?)(?![A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Point:
    """One checkpoint of a training.

    Args:
        name: of the revision.
        step: optimizer steps.
        tokens: seen so far, as far as the name says; None: it does not.
    """

    name: str
    step: int
    tokens: int | None


def amount(text: str) -> int:
    """`50B` as a number.

    Raises:
        KormoError: something else.
    """
    match = _AMOUNT.match(text.strip())
    if match is None or not float(match[1]):
        raise KormoError(
            where="--every",
            found=repr(text),
            why="it is a number of tokens",
            do="write 500M, 50B or 1.5T",
        )
    return round(float(match[1]) * UNITS[match[2].upper()])


def points(names: Iterable[str], tokens_per_step: int | None = None) -> list[Point]:
    """The revisions that name a step, by rising step.

    Args:
        tokens_per_step: for names that do not say their tokens.
    """
    found = []
    for name in names:
        step, tokens = _STEP.search(name), _TOKENS.search(name)
        if step is None:
            continue
        number = round(float(tokens[1]) * UNITS[tokens[2].upper()]) if tokens else None
        if number is None and tokens_per_step:
            number = int(step[1]) * tokens_per_step
        found.append(Point(name, int(step[1]), number))
    return sorted(found, key=lambda point: (point.step, point.name))


def spaced(found: Sequence[Point], every: int) -> list[Point]:
    """The first point at or after each multiple of `every` tokens, and the last one.

    Raises:
        KormoError: a revision that does not say how many tokens it has seen.
    """
    unknown = [point.name for point in found if point.tokens is None]
    if unknown:
        raise KormoError(
            where="--every",
            found=f"the revision {unknown[0]}",
            why="its name does not say how many tokens it has seen",
            do="give --tokens-per-step: rows of a step times tokens of a row",
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
        KormoError: the hub cannot be asked, or the model has no revision that names a step.
    """
    import httpx
    from huggingface_hub import HfApi as Hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        refs = (api or Hub()).list_repo_refs(repository)
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        raise KormoError(
            where=repository,
            found=" ".join(str(error).split())[:200],
            why="the hub was asked for the revisions of this model",
            do="check the id, the network and HF_HUB_OFFLINE",
        ) from None
    found = points([ref.name for ref in [*refs.branches, *refs.tags]], tokens_per_step)
    if not found:
        raise KormoError(
            where=repository,
            found=f"{len(refs.branches) + len(refs.tags)} revisions, none of which names a step",
            why="checkpoints of a training are revisions called step-N",
            do="name a model that publishes its training dynamics",
        )
    return found


def fetch(repository: str, point: Point, out: Path, api: HfApi | None = None) -> Path:
    """Downloads one checkpoint into its own folder below `out`; weights in safetensors and JSON only, no code."""
    from huggingface_hub import HfApi as Hub

    folder = out / point.name.replace("/", "_")
    patterns = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "README.md"]
    (api or Hub()).snapshot_download(repository, revision=point.name, local_dir=folder, allow_patterns=patterns)
    return folder
