"""A rough estimate of how long a build will take, without reading any text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from kormo_plugins.recipe.projections import BuildPlan
from kormo_plugins.store.artifact import is_built

BYTES_PER_SECOND = 1.5e6
"""Throughput of cleaning, tokenizing and packing on one core; deliberately low, since it only decides whether to
refuse."""


def build_seconds(plan: BuildPlan) -> float | None:
    """Seconds to build all data on one core; None if nothing is left to build.

    The size of a source on the hub is not known without the network, and counts as infinite.
    """
    if plan.corpora is None:
        return None
    workspace = plan.corpora.workspace
    total, missing = 0.0, False
    for name, source in plan.corpora.corpus.sources.items():
        kind = "preferences" if plan.pairs is not None else "rows"
        if is_built(workspace, kind, name):
            continue  # some row plan of that source exists; if it is outdated, the estimate is too low
        missing = True
        total += _source_bytes(source.model_dump())
    return total / BYTES_PER_SECOND if missing else None


def _source_bytes(source: dict[str, Any]) -> float:
    reader, generator = source.get("reader") or {}, source.get("generator") or {}
    if isinstance(generator, dict) and "megabytes" in generator:
        return float(generator["megabytes"]) * 1e6
    path = reader.get("path")
    if path is None:
        return math.inf if reader.get("name") == "hub" else 0.0
    root = Path(path)
    if root.is_file():
        return float(root.stat().st_size)
    return float(sum(file.stat().st_size for file in root.rglob("*") if file.is_file()))
