"""Deduplication across sources: the signatures of finished sources, in front of those of the one that is built.

What both have is theirs, unless copies are ranked. Training and held-out documents both count, so nothing that is held
out there is trained on here. A finished source need be signed only once by a step: `write_index` keeps its signatures,
and whatever is built against it later, in this run or another, reads them instead of its texts. So the index of a
collection is extended by signing what came to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np

from kormo_plugins.corpus.passes.job import NamedStep
from kormo_plugins.corpus.step import Clustering
from kormo_plugins.hookspecs import SourceStep
from kormo_plugins.store.array_file import join_arrays, save_array
from kormo_plugins.store.corpus_files import read_corpus

INDEX = "signatures.npy"
BLOCK = 1 << 14
"""Documents whose signatures are held in memory while an index is written."""
IN_MEMORY = 64 << 20
"""Bytes of signatures that are held in memory: some 120,000 documents."""

Signed = Callable[[NamedStep, Path], np.ndarray]
"""The signatures of a finished source (its folder) by a step, in source order; shape [documents, …]."""


def sign_all(step: NamedStep, corpus: Path) -> np.ndarray:
    """The signatures of every document of a finished source, from its texts."""
    blocks = list(_blocks(step, corpus))
    return np.concatenate(blocks) if blocks else np.empty((0, 0))


def write_index(step: NamedStep, corpus: Path, out: Path) -> dict[str, int]:
    """Writes the signatures of a finished source into the folder `out`, in little memory.

    Returns:
        `documents`, and `bytes` of the file.
    """
    out.mkdir(parents=True, exist_ok=True)
    parts: list[Path] = []
    documents = 0
    for block in _blocks(step, corpus):
        parts.append(out / f"{len(parts):06d}.part.npy")
        save_array(parts[-1], block)
        documents += len(block)
    if parts:
        join_arrays(parts, out / INDEX)
    else:
        save_array(out / INDEX, np.empty((0, 0)))
    for part in parts:
        part.unlink()
    return {"documents": documents, "bytes": (out / INDEX).stat().st_size}


def read_index(folder: Path) -> np.ndarray:
    """What `write_index` wrote, mapped."""
    return np.asarray(np.load(folder / INDEX, mmap_mode="r"))


def _blocks(step: NamedStep, corpus: Path) -> Iterator[np.ndarray]:
    signer = step.make(step.params)
    assert isinstance(signer, SourceStep)
    documents = chain(read_corpus(corpus), read_corpus(corpus / "held_out"))
    while block := [signer.sign(document) for document in islice(documents, BLOCK)]:
        yield np.asarray(block)


def training_documents(corpus: Path) -> int:
    """Documents of a finished source that are not held out: they are signed first."""
    return sum(1 for _ in read_corpus(corpus))


def against(
    step: SourceStep,
    table: np.ndarray,
    fate: np.ndarray,
    reasons: list[str],
    others: Sequence[np.ndarray],
    work: Path,
    stays: int,
    ranked: Sequence[int] | None = None,
) -> tuple[np.ndarray, list[str], list[tuple[int, int, str]]]:
    """The decision once more, on what stays, behind the documents of other sources.

    Args:
        table: signatures of this source, shape [documents, …].
        fate: an index into `reasons` for each, or `stays`.
        others: signatures of the other sources.
        work: a file for a table that is too large for memory.
        ranked: training documents of each other source, if a preferred copy here supersedes one of them; what is held
            out there, behind them, stays there. None: what both have is theirs.
    Returns:
        fate and reasons; and of each document that is superseded the place of its source, its own place there, and why.
    """
    left = np.flatnonzero(fate == stays)
    number = sum(map(len, others))
    if not number or not len(left):
        return fate, reasons, []
    later, told = step.decide(_joined(step, table, left, others, work, ranked))
    mine = np.asarray(later[number:])
    fate = fate.copy()
    fate[left] = np.where(mine == stays, stays, mine + len(reasons))
    told = [f"{reason} of another source" for reason in told]
    lost: list[int] = []
    if isinstance(step, Clustering) and ranked is not None:
        lost = np.flatnonzero(step.stays[:number] >= number).tolist()
    ends = np.cumsum([len(other) for other in others])
    places = [int(np.searchsorted(ends, index, side="right")) for index in lost]
    found = [
        (place, int(index - ends[place] + len(others[place])), told[later[index]])
        for place, index in zip(places, lost, strict=True)
    ]
    return fate, [*reasons, *told], found


def _joined(
    step: SourceStep,
    table: np.ndarray,
    left: np.ndarray,
    others: Sequence[np.ndarray],
    work: Path,
    ranked: Sequence[int] | None,
) -> np.ndarray:
    """The signatures of the others, then those of this source that are left; in the file `work` if they are many."""
    shape = (sum(map(len, others)) + len(left), *table.shape[1:])
    if int(np.prod(shape)) * table.dtype.itemsize <= IN_MEMORY:
        joined = np.empty(shape, table.dtype)
    else:
        joined = np.lib.format.open_memmap(work, mode="w+", dtype=table.dtype, shape=shape)
    at = 0
    for place, other in enumerate(others):
        fixed = 0 if ranked is None else ranked[place]
        for start in range(0, len(other), BLOCK):
            block = other[start : start + BLOCK]
            if isinstance(step, Clustering):
                signed = enumerate(block, start)
                block = np.asarray([step.first(row) if index >= fixed else row for index, row in signed])
            joined[at : at + len(block)] = block
            at += len(block)
    for start in range(0, len(left), BLOCK):
        rows = left[start : start + BLOCK]
        joined[at : at + len(rows)] = table[rows]
        at += len(rows)
    return np.asarray(joined)
