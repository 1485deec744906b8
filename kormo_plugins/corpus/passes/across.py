"""Deduplication across sources: compares a source with the signatures of finished sources.

A document that both have stays in the finished source, unless copies are ranked. Training and held-out documents both
count, so a document held out there is never trained on here. `write_index` stores a step's signatures of a finished
source, so that each source is signed only once; later builds read them instead of its texts. Extending a collection
therefore only requires signing the new sources.
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
"""Documents whose signatures are buffered while an index is written."""
IN_MEMORY = 64 << 20
"""Bytes of signatures that are buffered: about 120,000 documents."""

Signed = Callable[[NamedStep, Path], np.ndarray]
"""Returns a step's signatures of a finished source (its folder), in source order; shape [documents, …]."""


def sign_all(step: NamedStep, corpus: Path) -> np.ndarray:
    """Computes the signatures of every document of a finished source from its texts."""
    blocks = list(_blocks(step, corpus))
    return np.concatenate(blocks) if blocks else np.empty((0, 0))


def write_index(step: NamedStep, corpus: Path, out: Path) -> dict[str, int]:
    """Writes the signatures of a finished source into the folder `out`, with bounded memory.

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
    """Memory-maps the output of `write_index`."""
    return np.asarray(np.load(folder / INDEX, mmap_mode="r"))


def _blocks(step: NamedStep, corpus: Path) -> Iterator[np.ndarray]:
    signer = step.make(step.params)
    assert isinstance(signer, SourceStep)
    documents = chain(read_corpus(corpus), read_corpus(corpus / "held_out"))
    while block := [signer.sign(document) for document in islice(documents, BLOCK)]:
        yield np.asarray(block)


def training_documents(corpus: Path) -> int:
    """Number of training documents of a finished source; they are signed before the held-out ones."""
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
    """Repeats the decision for the remaining documents, placed after the documents of other sources.

    Args:
        table: signatures of this source, shape [documents, …].
        fate: for each document an index into `reasons`, or `stays`.
        others: signatures of the other sources.
        work: file for a table that does not fit in memory.
        ranked: number of training documents of each other source, if a preferred copy here may supersede one of them;
            its held-out documents, which follow them, always stay. None: the other source keeps its copy.
    Returns:
        fate and reasons; and for each superseded document the index of its source, its index there, and the reason.
    """
    remaining = np.flatnonzero(fate == stays)
    number = sum(map(len, others))
    if not number or not len(remaining):
        return fate, reasons, []
    later, new_reasons = step.decide(_joined(step, table, remaining, others, work, ranked))
    decisions = np.asarray(later[number:])
    fate = fate.copy()
    fate[remaining] = np.where(decisions == stays, stays, decisions + len(reasons))
    new_reasons = [f"{reason} of another source" for reason in new_reasons]
    lost: list[int] = []
    if isinstance(step, Clustering) and ranked is not None:
        lost = np.flatnonzero(step.stays[:number] >= number).tolist()
    ends = np.cumsum([len(other) for other in others])
    places = [int(np.searchsorted(ends, index, side="right")) for index in lost]
    superseded = [
        (place, int(index - ends[place] + len(others[place])), new_reasons[later[index]])
        for place, index in zip(places, lost, strict=True)
    ]
    return fate, [*reasons, *new_reasons], superseded


def _joined(
    step: SourceStep,
    table: np.ndarray,
    left: np.ndarray,
    others: Sequence[np.ndarray],
    work: Path,
    ranked: Sequence[int] | None,
) -> np.ndarray:
    """Concatenates the signatures of the others and of this source's remaining documents; in the file `work` if
    large."""
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
