"""The documents of each source, cleaned: the first artifacts of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kormo_plugins.console.progress import Progress
from kormo_plugins.corpus.build import build_source, funnel, source_inputs
from kormo_plugins.corpus.superseded import VERSION, leave_out, read_superseded
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.artifacts.signatures import signatures
from kormo_plugins.pipeline.built import ArtifactProvider, say
from kormo_plugins.recipe.projections import CorpusPlan
from kormo_plugins.store.artifact import Artifact, Spec
from kormo_plugins.wording.numbers import many

CORPUS_VERSION = 2
"""Raised when the same inputs would give other bytes."""


def build_corpora(
    plan: CorpusPlan, get: ArtifactProvider, meanwhile: Callable[[], None] = lambda: None
) -> dict[str, Artifact]:
    """The documents of each source.

    Args:
        meanwhile: see `build_source`; called for each source that is built by several processes.
    """
    corpora: dict[str, Artifact] = {}
    preferring: dict[str, list[str]] = {}
    for name in plan.corpus.in_order():
        corpora[name], supersedes = _corpus(plan, name, get, corpora, meanwhile)
        for other in plan.corpus.sources[name].deduplicate_against if supersedes else ():
            preferring.setdefault(other, []).append(name)
    reduced = {name: _less(plan, name, corpora, others, get) for name, others in preferring.items()}
    corpora = {name: reduced.get(name, corpora[name]) for name in plan.corpus.documents_of}
    _refuse_empty(plan.path, corpora)
    return corpora


def _corpus(
    plan: CorpusPlan,
    name: str,
    get: ArtifactProvider,
    before: Mapping[str, Artifact],
    meanwhile: Callable[[], None],
) -> tuple[Artifact, bool]:
    """The documents of a source, and whether it may supersede documents of those that it is deduplicated against;
    `before` holds these."""
    source = plan.corpus.sources[name]
    inputs = source_inputs(name, source, plan.corpus, plan.components)
    others = {other: before[other] for other in source.deduplicate_against}
    if others:
        inputs["against"] = {other: artifact.hash for other, artifact in others.items()}
    spec = Spec("corpus", name, {"version": CORPUS_VERSION, **inputs})

    by_path = {artifact.path: artifact for artifact in others.values()}

    def make(out: Path) -> Mapping[str, object]:
        """Writes the cleaned documents into `out`; the statistics for the manifest."""
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
            meanwhile=meanwhile,
            tell=say,
        )
        say(funnel(name, stats))
        return stats

    return get(plan.workspace, spec, make), "supersedes" in inputs


def _less(
    plan: CorpusPlan, name: str, corpora: Mapping[str, Artifact], others: Sequence[str], get: ArtifactProvider
) -> Artifact:
    """The documents of a source without those of which `others` have a copy that is preferred."""
    by = {other: corpora[other].hash for other in others}
    spec = Spec("corpus", name, {"version": CORPUS_VERSION, "less": VERSION, "of": corpora[name].hash, "by": by})

    def make(out: Path) -> Mapping[str, object]:
        """Writes the corpus without the superseded documents into `out`; returns its statistics."""
        superseded = {
            id_: (other, reason)
            for other in others
            for id_, reason in read_superseded(corpora[other].path, name).items()
        }
        say(f"{name}: {many(len(superseded), 'document')} removed, of which {', '.join(others)} has a preferred copy")
        return leave_out(corpora[name].path, corpora[name].stats, superseded, out)

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
