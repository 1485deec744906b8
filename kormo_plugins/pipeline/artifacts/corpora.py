"""The documents of each source, cleaned: the first artifacts of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kormo_plugins.console.progress import Progress
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.artifacts.signatures import signatures
from kormo_plugins.pipeline.built import ArtifactProvider, say
from kormo_plugins.recipe.projections import CorpusPlan
from kormo_plugins.store.artifact import Artifact, Spec

CORPUS_VERSION = 2
"""Raised when the same inputs would give other bytes."""


def build_corpora(plan: CorpusPlan, get: ArtifactProvider) -> dict[str, Artifact]:
    """The documents of each source."""
    corpora: dict[str, Artifact] = {}
    for name in plan.corpus.in_order():
        corpora[name] = _corpus(plan, name, get, corpora)
    corpora = {name: corpora[name] for name in plan.corpus.documents_of}
    _refuse_empty(plan.path, corpora)
    return corpora


def _corpus(plan: CorpusPlan, name: str, get: ArtifactProvider, before: Mapping[str, Artifact]) -> Artifact:
    """The documents of a source; `before` holds those that it is deduplicated against."""
    from kormo_plugins.corpus.build import build_source, funnel, source_inputs

    source = plan.corpus.sources[name]
    inputs = source_inputs(name, source, plan.corpus, plan.components)
    others = {other: before[other] for other in source.deduplicate_against}
    if others:
        inputs["against"] = {other: artifact.hash for other, artifact in others.items()}
    spec = Spec("corpus", name, {"version": CORPUS_VERSION, **inputs})

    by_path = {artifact.path: artifact for artifact in others.values()}

    def make(out: Path) -> Mapping[str, object]:
        stats = build_source(
            name,
            source,
            plan.corpus,
            plan.components,
            out,
            workers=plan.corpus.workers,
            watch=lambda label: Progress(label, unit="documents"),
            against=[artifact.path for artifact in others.values()],
            signed=lambda step, corpus: signatures(plan, step, by_path[corpus], get),
        )
        say(funnel(name, stats))
        return stats

    return get(plan.workspace, spec, make)


def _refuse_empty(path: Path, corpora: Mapping[str, Artifact]) -> None:
    empty = [name for name, artifact in corpora.items() if not artifact.stats["documents"]]
    if empty:
        raise KormoError(
            where=f"{path}: sources.{empty[0]}",
            found="no usable document",
            why="the input is empty or every document was rejected; a source without documents cannot be mixed",
            do=f"see the reasons in {corpora[empty[0]].path / 'rejects'}, or remove the source",
        )
