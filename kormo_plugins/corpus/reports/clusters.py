"""The largest clusters of copies, with samples, so that a person can judge whether they are copies.

Written beside the documents as `clusters.json` and shown on the report's page: of each cluster its size, the document
that stayed, and some of those that went.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kormo_plugins.corpus.passes.job import SourceBuild
from kormo_plugins.corpus.passes.marks import read_mark, write_mark
from kormo_plugins.corpus.passes.part_files import kept
from kormo_plugins.documents.document import Document

NAME = "clusters.json"
LARGEST = 20
"""Clusters that are shown."""
SAMPLES = 3
"""Documents of each."""
EXCERPT = 400
"""Characters of each."""
MOST_PARTS = 64
"""Parts that are read again for the texts; of a source of more parts some samples are named without their text."""


def write_clusters(job: SourceBuild, stage: int, step: str, stays: np.ndarray, bounds: Sequence[int]) -> None:
    """Adds what `step` found at the end of `stage` to the source's clusters.

    Args:
        stays: for each document the index of the one of its cluster that stays; int64, shape [documents].
        bounds: index of the first document of each part, and the number of all.
    """
    sizes = np.bincount(stays, minlength=len(stays))
    largest = np.argsort(-sizes, kind="stable")[:LARGEST]
    members = {int(kept_one): _members(stays, int(kept_one)) for kept_one in largest if sizes[kept_one] > 1}
    texts = _texts(job, stage, sorted({index for chosen in members.values() for index in chosen}), bounds)
    found = [
        {
            "documents": int(sizes[kept_one]),
            "samples": [texts.get(index, {"id": f"document {index}", "text": ""}) for index in chosen],
        }
        for kept_one, chosen in members.items()
    ]
    path = job.out / NAME
    before = read_mark(path)["steps"] if path.exists() else {}
    counts = {"clusters": int((sizes > 1).sum()), "dropped": int((stays != np.arange(len(stays))).sum())}
    write_mark(path, {"steps": {**before, step: {**counts, "largest": found}}})


def _members(stays: np.ndarray, kept_one: int) -> list[int]:
    """The document that stays, and the first of the others."""
    others = np.flatnonzero(stays == kept_one)
    return [kept_one, *others[others != kept_one][: SAMPLES - 1].tolist()]


def _texts(job: SourceBuild, stage: int, wanted: list[int], bounds: Sequence[int]) -> dict[int, dict[str, object]]:
    """Id and beginning of each document that is wanted, by its index."""
    found: dict[int, dict[str, object]] = {}
    parts = sorted({int(np.searchsorted(bounds, index, side="right")) - 1 for index in wanted})[:MOST_PARTS]
    for part in parts:
        here = {index - int(bounds[part]) for index in wanted if bounds[part] <= index < bounds[part + 1]}
        for place, document in enumerate(kept(job, stage, part, "documents")):
            if place in here:
                found[int(bounds[part]) + place] = _sample(document)
            if place >= max(here):
                break
    return found


def _sample(document: Document) -> dict[str, object]:
    return {"id": document.id, "text": document.text[:EXCERPT], "characters": len(document.text)}


def read_clusters(folder: Path) -> dict[str, Any]:
    """Step -> `clusters`, `dropped`, `largest`; empty where no step looked for copies."""
    path = folder / NAME
    return dict(read_mark(path)["steps"]) if path.exists() else {}
