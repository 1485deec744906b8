"""The largest duplicate clusters, with samples, so that a person can check whether they are duplicates.

Written beside the documents as `clusters.json` and shown in the report: for each cluster its size, the kept document,
and some of the dropped ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kormo_plugins.corpus.passes.job import SourceBuild
from kormo_plugins.corpus.passes.marks import read_mark, write_mark
from kormo_plugins.corpus.passes.part_files import kept_lines
from kormo_plugins.documents.document import Document, from_line

NAME = "clusters.json"
LARGEST = 20
"""Number of clusters shown."""
SAMPLES = 3
"""Documents shown per cluster."""
EXCERPT = 400
"""Characters shown per document."""
MOST_PARTS = 64
"""Parts that are read again for the texts; in a source with more parts some samples are listed without their text."""


def write_clusters(job: SourceBuild, stage: int, step: str, stays: np.ndarray, bounds: Sequence[int]) -> None:
    """Adds the clusters that `step` found at the end of `stage` to the source's clusters.

    Args:
        stays: for each document the index of the kept document of its cluster; int64, shape [documents].
        bounds: index of the first document of each part, followed by the number of documents.
    """
    sizes = np.bincount(stays, minlength=len(stays))
    largest = np.argsort(-sizes, kind="stable")[:LARGEST]
    members = {int(kept_one): _members(stays, int(kept_one)) for kept_one in largest if sizes[kept_one] > 1}
    texts = _texts(job, stage, sorted({index for chosen in members.values() for index in chosen}), bounds)
    clusters = [
        {
            "documents": int(sizes[kept_one]),
            "samples": [texts.get(index, {"id": f"document {index}", "text": ""}) for index in chosen],
        }
        for kept_one, chosen in members.items()
    ]
    path = job.out / NAME
    before = read_mark(path)["steps"] if path.exists() else {}
    counts = {"clusters": int((sizes > 1).sum()), "dropped": int((stays != np.arange(len(stays))).sum())}
    write_mark(path, {"steps": {**before, step: {**counts, "largest": clusters}}})


def _members(stays: np.ndarray, kept_one: int) -> list[int]:
    """The kept document and the first of the others."""
    others = np.flatnonzero(stays == kept_one)
    return [kept_one, *others[others != kept_one][: SAMPLES - 1].tolist()]


def _texts(job: SourceBuild, stage: int, wanted: list[int], bounds: Sequence[int]) -> dict[int, dict[str, object]]:
    """Id and first characters of each requested document, by its index."""
    texts: dict[int, dict[str, object]] = {}
    parts = sorted({int(np.searchsorted(bounds, index, side="right")) - 1 for index in wanted})[:MOST_PARTS]
    for part in parts:
        here = {index - int(bounds[part]) for index in wanted if bounds[part] <= index < bounds[part + 1]}
        for place, line in enumerate(islice(kept_lines(job, stage, part, "documents"), max(here) + 1)):
            if place in here:
                texts[int(bounds[part]) + place] = _sample(from_line(line))
    return texts


def _sample(document: Document) -> dict[str, object]:
    return {"id": document.id, "text": document.text[:EXCERPT], "characters": len(document.text)}


def read_clusters(folder: Path) -> dict[str, Any]:
    """Step -> `clusters`, `dropped`, `largest`; empty if no step looked for duplicates."""
    path = folder / NAME
    return dict(read_mark(path)["steps"]) if path.exists() else {}
