"""The index of a finished source: its signatures by a deduplication step, kept for all that is compared with it later.

An artifact of its own, so that it belongs to no run: a source that comes to a collection next month is compared with
what was signed today, and only its own texts are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.corpus.build import step_inputs
from kormo_plugins.corpus.passes.across import read_index, sign_all, write_index
from kormo_plugins.hookspecs import Prepares
from kormo_plugins.pipeline.built import ArtifactProvider, say
from kormo_plugins.recipe.projections import CorpusPlan
from kormo_plugins.store.artifact import Artifact, Spec

if TYPE_CHECKING:
    import numpy as np

    from kormo_plugins.corpus.passes.job import NamedStep

SIGNATURES_VERSION = 1
"""Raised when the same documents and step would give other bytes."""


def signatures(plan: CorpusPlan, step: NamedStep, corpus: Artifact, get: ArtifactProvider) -> np.ndarray:
    """The signatures of a source by a step, in source order, mapped; built if nobody has signed it so before.

    Args:
        corpus: the source, finished.
    Returns:
        shape [documents, …], held-out documents last.
    """

    if isinstance(step.make, Prepares):  # its parameters name a folder of the build that is under way
        return sign_all(step, corpus.path)
    inputs = {"version": SIGNATURES_VERSION, "corpus": corpus.digest, "step": step_inputs(step)}
    spec = Spec("signatures", f"{corpus.path.name.split('-')[1]}.{step.name}", inputs)

    def make(out: Path) -> Mapping[str, object]:
        """Writes the signatures into `out`; returns their number and size."""
        statistics = write_index(step, corpus.path, out)
        say(f"{corpus.path.name}: {statistics['documents']:,} signatures of {step.name}, reused by later builds")
        return statistics

    return read_index(get(plan.workspace, spec, make).path)
