"""The work on one part: read, clean, sign, write. A pure function of the part's input, whoever runs it.

Cleaning goes in stages, because a step that must see the whole source (deduplication) parts what comes before it
from what comes after:

    stage 0     reader or generator → document steps → documents + signatures
    decision    all signatures, in source order → the fate of each document
    stage 1     documents that stay → document steps → documents + signatures
    …
    last stage  documents that stay → part-00000.jsonl.zst, held_out/, rejects/

Every file is written under a temporary name; a part's `.json`, written last, says that the part is done.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np

from kormo_plugins.conversations import MESSAGES
from kormo_plugins.corpus.params import Source
from kormo_plugins.corpus.step import Read, Rejected
from kormo_plugins.documents import Document, Reject, read_documents, write_documents
from kormo_plugins.preferences import rewritten


@dataclass(frozen=True)
class NamedStep:
    """A step before it is made: it travels to the process that runs it."""

    name: str
    make: Callable[[Any], Any]
    params: Any


@dataclass(frozen=True)
class Segment:
    """Document steps, and the source step that ends them (None: the end of the pipeline)."""

    steps: tuple[NamedStep, ...]
    ends: NamedStep | None


@dataclass(frozen=True)
class Job:
    """All that a part's work depends on. Can be pickled and sent to another machine.

    Args:
        name: of the source.
        read: `(params, shard, shards) -> Read`, a reader or a generator.
        parts: number of parts; fixed before the work begins.
        out: the artifact's folder; work in progress is in `out/work`.
        against: folders of finished sources; what they have is a duplicate here.
    """

    name: str
    source: Source
    read: Callable[[Any, int, int], Read]
    params: Any
    parts: int
    segments: tuple[Segment, ...]
    out: Path
    against: tuple[Path, ...] = ()

    def folder(self, stage: int) -> Path:
        """Where a stage keeps its files. Stage len(segments) is the last, that writes the result."""
        return self.out / "work" / f"{stage}"

    def done(self, stage: int, part: int) -> bool:
        """Whether that part of that stage need not be worked on again."""
        return (self.folder(stage) / f"{part:05d}.json").exists()


@dataclass
class Tally:
    """What one step did."""

    name: str
    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    changed: int = 0
    rejects: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "rejects": dict(sorted(self.rejects.items()))}


def work(job: Job, stage: int, part: int, progress: Callable[[int], None] | None = None) -> None:
    """Does one part of one stage, unless it is done."""
    folder = job.folder(stage)
    if job.done(stage, part):
        return
    for place in (folder, job.out / "rejects", job.out / "held_out"):
        place.mkdir(parents=True, exist_ok=True)
    if stage == len(job.segments):
        _finish(job, part)
    else:
        _clean(job, stage, part, progress)


def _clean(job: Job, stage: int, part: int, progress: Callable[[int], None] | None) -> None:
    segment, folder = job.segments[stage], job.folder(stage)
    head = Tally("read" if stage == 0 else _decider(job, stage - 1))
    tallies = [Tally(step.name) for step in segment.steps]
    steps = [step.make(step.params) for step in segment.steps]
    signer = segment.ends.make(segment.ends.params) if segment.ends else None
    rejects: list[Rejected] = []
    signatures: list[Any] = []
    ids: list[int] = []
    source = _read(job, part, head) if stage == 0 else _survivors(job, stage - 1, part, head, rejects)

    def cleaned() -> Iterator[Document]:
        for number, item in enumerate(source, 1):
            if progress and number % 64 == 0:
                progress(64)
            document = item if isinstance(item, Rejected) else _through(item, steps, tallies)
            if isinstance(document, Rejected):
                rejects.append(document)
                continue
            if signer is not None:
                signatures.append(signer.sign(document))
            ids.append(_id_hash(document.id))
            yield document

    _replace(folder / f"{part:05d}.documents.zst", lambda path: write_documents(path, cleaned()))
    _replace(folder / f"{part:05d}.rejects.zst", lambda path: write_documents(path, map(marked, rejects)))
    _save(folder / f"{part:05d}.ids.npy", np.array(ids, dtype=np.uint64))
    if signer is not None:
        _save(folder / f"{part:05d}.signatures.npy", _table(signatures, signer))
    write_json(folder / f"{part:05d}.json", {"steps": [tally.as_dict() for tally in [head, *tallies]]})


def _read(job: Job, part: int, head: Tally) -> Iterator[Document | Rejected]:
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
        size = _size(document.text)
        head.documents_in += 1
        head.bytes_in += size
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


def _survivors(job: Job, stage: int, part: int, head: Tally, rejects: list[Rejected]) -> Iterator[Document]:
    """The documents of a finished stage that its decision lets through; the others become rejects."""
    folder = job.folder(stage)
    decision = json.loads((folder / "decision.json").read_text(encoding="utf-8"))
    fate = np.load(folder / f"{part:05d}.fate.npy")
    documents = read_documents(folder / f"{part:05d}.documents.zst")
    for document, verdict in zip(documents, fate.tolist(), strict=True):
        size = len(document.text.encode())
        head.documents_in += 1
        head.bytes_in += size
        if verdict >= 0:
            reason = decision["reasons"][verdict]
            head.rejects[reason] += 1
            rejects.append(Rejected(document, reason, head.name))
            continue
        head.documents_out += 1
        head.bytes_out += size
        yield document


def _decider(job: Job, stage: int) -> str:
    ends = job.segments[stage].ends
    return ends.name if ends else "settle"


def _finish(job: Job, part: int) -> None:
    """The last stage: what stays is written, renamed where an id was taken, and some of it held out."""
    folder, last = job.folder(len(job.segments)), len(job.segments) - 1
    head = Tally(_decider(job, last))
    dropped: list[Rejected] = []
    held: list[Document] = []
    summary = Summary()
    settled = json.loads((job.folder(last) / f"{part:05d}.settled.json").read_text(encoding="utf-8"))
    held_out, renamed = set(settled["held_out"]), {int(k): v for k, v in settled["renamed"].items()}
    taken = _all_ids(job, last) if renamed else np.empty(0, np.uint64)

    def kept() -> Iterator[Document]:
        for index, document in enumerate(_survivors(job, last, part, head, dropped)):
            if index in renamed:
                document.meta["id"], document.id = document.id, free_name(document.id, renamed[index], taken)
            if index in held_out:
                held.append(document)
                continue
            summary.add(document)
            yield document

    name = f"part-{part:05d}.jsonl.zst"
    _replace(job.out / name, lambda path: write_documents(path, kept()))
    _replace(job.out / "held_out" / name, lambda path: write_documents(path, held))
    earlier = chain.from_iterable(
        read_documents(job.folder(stage) / f"{part:05d}.rejects.zst") for stage in range(len(job.segments))
    )
    rejects = chain(earlier, map(marked, dropped))
    _replace(job.out / "rejects" / name, lambda path: write_documents(path, rejects))
    outcome = {
        "steps": [head.as_dict()] if job.segments[last].ends else [],
        "kept": summary.as_dict(),
        "held_out": {"documents": len(held), "bytes": sum(len(d.text.encode()) for d in held)},
        "renamed": len(renamed),
    }
    write_json(folder / f"{part:05d}.json", outcome)


def _all_ids(job: Job, stage: int) -> np.ndarray:
    """Hashes of every id of the source, sorted."""
    folder = job.folder(stage)
    return np.sort(np.concatenate([np.load(folder / f"{part:05d}.ids.npy") for part in range(job.parts)]))


def _id_hash(name: str) -> int:
    import xxhash

    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))


def free_name(name: str, repeat: int, taken: np.ndarray) -> str:
    """The name of the `repeat`-th document whose id was there before: `name~2`, `name~3`, …, without those that other
    documents have of their own.

    Args:
        taken: uint64, sorted hashes of all ids of the source.
    """
    for number in count(2):
        candidate = f"{name}~{number}"
        key = np.uint64(_id_hash(candidate))
        place = int(np.searchsorted(taken, key))
        repeat -= not (place < len(taken) and taken[place] == key)
        if repeat == 0:
            return candidate
    raise AssertionError("numbers do not end")


@dataclass
class Summary:
    """Counts of what a source ended up with."""

    documents: int = 0
    bytes: int = 0
    characters: int = 0
    conversations: int = 0
    languages: dict[str, Counter[str]] = field(default_factory=dict)
    lengths: Counter[int] = field(default_factory=Counter)

    def add(self, document: Document) -> None:
        size = len(document.text.encode())
        self.documents += 1
        self.bytes += size
        self.characters += len(document.text)
        self.conversations += MESSAGES in document.meta
        self.languages.setdefault(document.language, Counter()).update(documents=1, bytes=size)
        self.lengths[len(document.text).bit_length()] += 1

    def as_dict(self) -> dict[str, Any]:
        """`lengths`: number of documents of fewer than 2^k characters (and at least 2^(k-1)), by k."""
        languages = {code: dict(counts) for code, counts in sorted(self.languages.items())}
        lengths = {str(k): n for k, n in sorted(self.lengths.items())}
        return {**self.__dict__, "languages": languages, "lengths": lengths}


def marked(rejected: Rejected) -> Document:
    """A reject as it is kept: the document, with step and reason among its `meta`."""
    document = _printable(rejected.document)
    document.meta = {**document.meta, "rejected": {"step": rejected.step, "reason": rejected.reason}}
    return document


def _table(signatures: list[Any], signer: Any) -> np.ndarray:
    if signatures:
        return np.asarray(signatures)
    empty = np.asarray(signer.sign(Document(id="", text="")))  # for dtype and shape
    return np.empty((0, *empty.shape), dtype=empty.dtype)


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    write(temporary)
    temporary.replace(path)


def _save(path: Path, array: np.ndarray) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)

    _replace(path, write)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)
    _replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
