"""Decisions that need the whole source: which documents are dropped, renamed or held out.

Reads numbers (signatures, hashes of ids) and writes each document's decision beside its part. Documents of sources
that this one is deduplicated against come first (`across.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kormo_plugins.corpus.params import HeldOut
from kormo_plugins.corpus.passes.across import IN_MEMORY, Signed, against, sign_all, training_documents
from kormo_plugins.corpus.passes.job import SourceBuild
from kormo_plugins.corpus.passes.marks import write_mark
from kormo_plugins.corpus.reports.clusters import write_clusters
from kormo_plugins.corpus.step import Clustering, Ranking, is_preferring
from kormo_plugins.corpus.superseded import write_superseded
from kormo_plugins.hookspecs import SourceStep
from kormo_plugins.store.array_file import join_arrays, save_array, take_rows
from kormo_plugins.store.corpus_files import read_corpus

STAYS = -1


def decide(job: SourceBuild, stage: int, held_out: HeldOut, signed: Signed = sign_all) -> None:
    """Decides on the documents kept by `stage`, unless that is already done.

    Args:
        signed: returns the signatures of the finished sources that this one is deduplicated against.
    """
    folder = job.folder(stage)
    if (folder / "decision.json").exists():
        return
    ids = [np.load(folder / f"{part:05d}.ids.npy") for part in range(job.parts)]
    bounds = np.cumsum([0, *map(len, ids)])
    fate = np.full(bounds[-1], STAYS, dtype=np.int8)
    reasons: list[str] = []
    steps: list[int] = []
    for number, end in enumerate(job.segments[stage].ends):
        step = end.make(end.params)
        assert isinstance(step, SourceStep)
        candidates = np.flatnonzero(fate == STAYS)
        table = _rows(_signatures(job, stage, number), candidates, folder / f"signatures-{number}.npy")
        decisions, step_reasons = step.decide(table)
        if isinstance(step, Clustering):
            stays = np.arange(len(fate))
            stays[candidates] = candidates[step.stays]
            write_clusters(job, stage, end.name, stays, bounds.tolist())
        if job.against and not isinstance(step, Ranking):
            others = [signed(end, corpus) for corpus in job.against]
            ranked = (
                [training_documents(corpus) for corpus in job.against] if is_preferring(end.make, end.params) else None
            )
            work = folder / f"signatures-{number}.across.npy"
            decisions, step_reasons, lost = against(
                step, table, decisions, list(step_reasons), others, work, STAYS, ranked
            )
            write_superseded(job, stage, number, _named(job, lost))
        fate[candidates] = np.where(decisions == STAYS, STAYS, decisions + len(reasons))
        reasons, steps = [*reasons, *step_reasons], [*steps, *[number] * len(step_reasons)]
    settled = _settle(np.concatenate(ids)[fate == STAYS], held_out) if stage == len(job.segments) - 1 else None
    for part in range(job.parts):
        low, high = bounds[part], bounds[part + 1]
        save_array(folder / f"{part:05d}.fate.npy", fate[low:high])
        if settled is not None:
            before = int((fate[:low] == STAYS).sum())
            kept = int((fate[low:high] == STAYS).sum())
            write_mark(folder / f"{part:05d}.settled.json", _cut(settled, before, before + kept))
    write_mark(folder / "decision.json", {"reasons": reasons, "steps": steps})


def _rows(table: np.ndarray, wanted: np.ndarray, path: Path) -> np.ndarray:
    """Selected rows of a table; those of a large table, in the file `path`, are written to another file."""
    if len(wanted) == len(table):
        return table
    if table.nbytes <= IN_MEMORY:
        return np.asarray(table[wanted])
    return take_rows(path, wanted, path.with_suffix(".left.npy"))


def _signatures(job: SourceBuild, stage: int, number: int) -> np.ndarray:
    """The signatures of all parts by one source step of a pass, in source order; from `IN_MEMORY` bytes on in a
    memory-mapped file."""
    folder = job.folder(stage)
    paths = [folder / f"{part:05d}.signatures-{number}.npy" for part in range(job.parts)]
    if sum(path.stat().st_size for path in paths) <= IN_MEMORY:
        return np.concatenate([np.load(path) for path in paths])
    return join_arrays(
        [path for path in paths if len(np.load(path, mmap_mode="r"))], folder / f"signatures-{number}.npy"
    )


def _named(job: SourceBuild, lost: Sequence[tuple[int, int, str]]) -> Iterator[tuple[str, str, str]]:
    """Source, id and reason of documents of other sources, given the index of the source and of the document."""
    for place, (name, corpus) in enumerate(zip(job.source.deduplicate_against, job.against, strict=True)):
        reasons = {index: why for where, index, why in lost if where == place}
        if reasons:
            for index, document in enumerate(read_corpus(corpus)):
                if index in reasons:
                    yield name, document.id, reasons[index]


def _settle(ids: np.ndarray, held_out: HeldOut) -> tuple[dict[int, int], np.ndarray]:
    """Finds repeated ids and selects the held-out documents among those that stay.

    Returns:
        index -> how many earlier documents have its id; and the sorted indices of the held-out documents. Held out are
        those with the smallest keyed hash of their id, so the choice is stable when documents are added or removed.
    """
    order = np.argsort(ids, kind="stable")
    same = np.flatnonzero(ids[order][1:] == ids[order][:-1]) + 1
    repeats: dict[int, int] = {}
    for position in same.tolist():
        repeats[int(order[position])] = repeats.get(int(order[position - 1]), 0) + 1
    wanted = held_out.documents if held_out.documents >= 1 else held_out.documents * len(ids)
    count = min(int(wanted), int(held_out.at_most * len(ids)))
    with np.errstate(over="ignore"):
        keyed = (ids ^ np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xD6E8FEB86659FD93)
    return repeats, np.sort(np.argsort(keyed ^ (keyed >> np.uint64(32)), kind="stable")[:count])


def _cut(settled: tuple[dict[int, int], np.ndarray], low: int, high: int) -> dict[str, object]:
    repeats, held = settled
    low_at, high_at = np.searchsorted(held, [low, high])
    return {
        "renamed": {str(index - low): count for index, count in repeats.items() if low <= index < high},
        "held_out": (held[low_at:high_at] - low).tolist(),
    }
