"""Cleaning a part: reader or survivors of the stage before → document steps → documents, rejects, ids, signatures.

It goes in chunks of about `CHUNK` characters, and each ends with a mark. So a part of many gigabytes (the hub gives no
more parts than a dataset has files) that was killed goes on where its last chunk ended: what was read until there is
read over, which costs a hundredth of cleaning it. Where a chunk ends depends on the documents alone, and so do all
bytes. What is held in memory is one chunk's.

    00007-0000.documents.zst, .rejects.zst, .ids.npy, .signatures.npy, .json      a chunk, its mark written last
    00007.ids.npy, 00007.signatures.npy, 00007.json                               the part, when all chunks are there
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kormo_plugins.corpus.job import SourceBuild, Tally, decider
from kormo_plugins.corpus.marks import read_mark, write_mark
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.conversation import NOTES
from kormo_plugins.documents.document import WORK_LEVEL, Document, Reject, read_documents, write_documents
from kormo_plugins.documents.preference_pair import rewritten
from kormo_plugins.hookspecs import SourceStep
from kormo_plugins.store.array_file import save_array
from kormo_plugins.store.atomic import replace

CHUNK = 16_000_000
"""Characters read between two marks; some seconds of cleaning."""
_OVER = object()


@dataclass
class Seen:
    """What a source told since the last mark.

    Args:
        head: the tally of reading, or of the decision before.
        rejects: what was dropped, in order.
    """

    head: Tally
    rejects: list[Rejected] = field(default_factory=list)

    def fresh(self) -> None:
        """Begins anew, for the next chunk."""
        self.head, self.rejects = Tally(self.head.name), []


def clean(job: SourceBuild, stage: int, part: int, progress: Callable[[int], None] | None = None) -> None:
    """Cleans one part in one stage, from its last whole chunk on."""
    folder = job.folder(stage)
    marks: list[dict[str, Any]] = []
    while (mark := _chunk(folder, part, len(marks), "json")).exists():
        marks.append(read_mark(mark))
    if not marks or not marks[-1]["last"]:
        seen = Seen(Tally("read" if stage == 0 else decider(job, stage - 1)))
        source = _read(job, part, seen) if stage == 0 else survivors(job, stage - 1, part, seen)
        items = told(source, progress)
        for _ in islice(items, sum(mark["items"] for mark in marks)):
            pass
        while not marks or not marks[-1]["last"]:
            seen.fresh()
            marks.append(_clean_chunk(job, stage, part, len(marks), items, seen))
    for kind in ("ids", "signatures") if job.segments[stage].ends else ("ids",):
        tables = [np.load(_chunk(folder, part, number, f"{kind}.npy")) for number in range(len(marks))]
        save_array(folder / f"{part:05d}.{kind}.npy", np.concatenate(tables))
    total = [Tally(one["name"]) for one in marks[0]["steps"]]
    for mark_of_chunk in marks:
        for tally, one in zip(total, mark_of_chunk["steps"], strict=True):
            tally.add(one)
    write_mark(folder / f"{part:05d}.json", {"chunks": len(marks), "steps": [tally.as_dict() for tally in total]})


def kept(job: SourceBuild, stage: int, part: int, kind: str) -> Iterator[Document]:
    """The `documents` or the `rejects` of a finished part of a stage."""
    folder = job.folder(stage)
    for number in range(read_mark(folder / f"{part:05d}.json")["chunks"]):
        yield from read_documents(_chunk(folder, part, number, f"{kind}.zst"))


def _chunk(folder: Path, part: int, number: int, kind: str) -> Path:
    return folder / f"{part:05d}-{number:04d}.{kind}"


def told(source: Iterable[Any], progress: Callable[[int], None] | None) -> Iterator[Any]:
    """The items of `source`, each counted aloud, many at a time."""
    number = 0
    for number, item in enumerate(source, 1):
        if progress and number % 64 == 0:
            progress(64)
        yield item
    if progress and number % 64:
        progress(number % 64)


def _clean_chunk(
    job: SourceBuild, stage: int, part: int, number: int, items: Iterator[Document | Rejected], seen: Seen
) -> dict[str, Any]:
    """Takes as many of `items` as a chunk has through the steps; returns the chunk's mark, which is written."""
    segment, folder = job.segments[stage], job.folder(stage)
    tallies = [Tally(step.name) for step in segment.steps]
    steps = [step.make(step.params) for step in segment.steps]
    signer = segment.ends.make(segment.ends.params) if segment.ends else None
    assert signer is None or isinstance(signer, SourceStep)
    signatures: list[np.ndarray] = []
    ids: list[int] = []
    mark: dict[str, Any] = {"items": 0, "last": False}

    def cleaned() -> Iterator[Document]:
        left = CHUNK
        while left > 0:
            item = next(items, _OVER)
            if item is _OVER:
                mark["last"] = True
                return
            assert isinstance(item, Document | Rejected)
            mark["items"] += 1
            left -= len((item.document if isinstance(item, Rejected) else item).text) + 1
            document = item if isinstance(item, Rejected) else _through(item, steps, tallies)
            if isinstance(document, Rejected):
                seen.rejects.append(document)
                continue
            if signer is not None:
                signatures.append(signer.sign(document))
            ids.append(id_hash(document.id))
            yield document

    files = {"documents.zst": cleaned(), "rejects.zst": map(marked, seen.rejects)}  # in this order: both are lazy
    for kind, documents in files.items():
        replace(_chunk(folder, part, number, kind), partial(write_documents, documents=documents, level=WORK_LEVEL))
    save_array(_chunk(folder, part, number, "ids.npy"), np.array(ids, dtype=np.uint64))
    if signer is not None:
        save_array(_chunk(folder, part, number, "signatures.npy"), _table(signatures, signer))
    mark["steps"] = [tally.as_dict() for tally in [seen.head, *tallies]]
    write_mark(_chunk(folder, part, number, "json"), mark)
    return mark


def _read(job: SourceBuild, part: int, seen: Seen) -> Iterator[Document | Rejected]:
    """The documents of a part as the source gives them, with the provenance that the recipe states."""
    source = job.source
    items: Iterable[Document | Rejected] = job.read(job.params, part, job.parts)
    if source.documents is not None:
        items = islice(items, source.documents * (part + 1) // job.parts - source.documents * part // job.parts)
    for item in items:
        document = item.document if isinstance(item, Rejected) else item
        document.source = job.name
        document.language = document.language if document.language != "und" else source.language
        document.license = document.license if document.license != "unknown" else source.license
        document.synthetic = document.synthetic or source.synthetic or source.generator is not None
        document.generator = (
            document.generator or source.written_by or (source.generator.name if source.generator else "")
        )
        size, head = _size(document.text), seen.head
        head.documents_in += 1
        head.bytes_in += size
        head.notes.update(document.meta.get(NOTES, ()))
        if isinstance(item, Rejected):
            head.rejects[item.reason] += 1
        elif size < 0:
            item = Rejected(_printable(document), "lone surrogate")
            head.rejects[item.reason] += 1
        else:
            head.documents_out += 1
            head.bytes_out += size
        yield item


def _size(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1


def _printable(document: Document) -> Document:
    document.text = document.text.encode("utf-8", "backslashreplace").decode()
    return document


def _through(document: Document, steps: list[Any], tallies: list[Tally]) -> Document | Rejected:
    """One document through all document steps."""
    size = len(document.text.encode())
    for step, tally in zip(steps, tallies, strict=True):
        tally.documents_in += 1
        tally.bytes_in += size
        before = document.text
        result = rewritten(document, step)
        if isinstance(result, Reject):
            tally.rejects[result.reason] += 1
            document.text = before
            return Rejected(document, result.reason, tally.name)
        document = result
        if document.text is not before and document.text != before:
            tally.changed += 1
            size = len(document.text.encode())
        tally.documents_out += 1
        tally.bytes_out += size
    return document


def survivors(job: SourceBuild, stage: int, part: int, seen: Seen) -> Iterator[Document]:
    """The documents of a finished stage that its decision lets through; the others become rejects."""
    folder, name = job.folder(stage), decider(job, stage)
    reasons = read_mark(folder / "decision.json")["reasons"]
    fate = np.load(folder / f"{part:05d}.fate.npy")
    for document, verdict in zip(kept(job, stage, part, "documents"), fate.tolist(), strict=True):
        size, head = len(document.text.encode()), seen.head
        head.documents_in += 1
        head.bytes_in += size
        if verdict >= 0:
            head.rejects[reasons[verdict]] += 1
            seen.rejects.append(Rejected(document, reasons[verdict], name))
            continue
        head.documents_out += 1
        head.bytes_out += size
        yield document


def marked(rejected: Rejected) -> Document:
    """A reject as it is kept: the document, with step and reason among its `meta`."""
    document = _printable(rejected.document)
    document.meta = {**document.meta, "rejected": {"step": rejected.step, "reason": rejected.reason}}
    return document


def id_hash(name: str) -> int:
    """64 bits of a document's id."""
    import xxhash

    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))


def _table(signatures: list[np.ndarray], signer: SourceStep) -> np.ndarray:
    if signatures:
        return np.asarray(signatures)
    empty = np.asarray(signer.sign(Document(id="", text="")))  # for dtype and shape
    return np.empty((0, *empty.shape), dtype=empty.dtype)
