"""Cleans one part: reader or survivors of the previous pass → document steps → documents, rejects, ids, signatures.

A part is processed in chunks of about `CHUNK` characters, each completed by a progress file. A killed part of many
gigabytes (a hub dataset cannot have more parts than files) resumes after its last finished chunk: the input up to there
is read again, which costs a hundredth of cleaning it. Chunk boundaries, and therefore all bytes, depend on the
documents only. One chunk is held in memory.

    00007-0000.documents.zst, .rejects.zst, .ids.npy, .facts.npy, .json      a chunk; its progress file is written last
    00007-0000.signatures-0.npy, .rejects-0.zst, …                           for each source step
    00007.ids.npy, 00007.signatures-0.npy, 00007.json                        the part, when all chunks are finished
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import xxhash

from kormo_plugins.corpus.passes.batches import in_batches
from kormo_plugins.corpus.passes.compile_ahead import compile_ahead, groups_of
from kormo_plugins.corpus.passes.job import NamedStep, SourceBuild, Tally, deciders
from kormo_plugins.corpus.passes.marks import read_mark, write_mark
from kormo_plugins.corpus.passes.part_files import Facts, Fate, chunk_file, facts_of, kept_lines
from kormo_plugins.corpus.reports.unread import add as add_file
from kormo_plugins.corpus.scan.text_scan import before_compiling, scan_of
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.conversation import MESSAGES, NOTES
from kormo_plugins.documents.document import (
    WORK_LEVEL,
    Document,
    Reject,
    from_line,
    to_line,
    write_documents,
    write_lines,
)
from kormo_plugins.documents.preference_pair import PROMPT, rewritten
from kormo_plugins.hookspecs import BatchStep, CountsFiles, SourceStep
from kormo_plugins.store.array_file import save_array
from kormo_plugins.store.atomic import replace

CHUNK = 16_000_000
"""Characters per chunk; a few seconds of cleaning."""
_OVER = object()
TURNS = frozenset((MESSAGES, PROMPT))
"""Keys of `meta` that mark a document as more than plain text."""


@dataclass
class Seen:
    """Counts and rejects collected since the last progress file.

    Args:
        heads: the tally of reading, or of each earlier decision.
        rejects: documents dropped by the last of them, or by a step, in order.
        earlier: documents dropped by the decisions before the last.
    """

    heads: list[Tally]
    rejects: list[Rejected] = field(default_factory=list)
    earlier: list[list[Rejected]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fresh()

    def fresh(self) -> None:
        """Resets the state for the next chunk."""
        self.heads, self.rejects = [Tally(head.name) for head in self.heads], []
        self.earlier = [[] for _ in self.heads[1:]]

    def passed(self, line: bytes, size: int, verdict: int, fate: Fate) -> bool:
        """Whether the decisions keep a document; updates the counts.

        Args:
            line: the document as stored in its file.
            size: bytes of its text.
            verdict: index of the reason for dropping it, or -1.
        """
        last = len(self.heads) if verdict < 0 else fate.steps[verdict]
        for head in self.heads[: last + 1]:
            head.documents_in += 1
            head.bytes_in += size
        for head in self.heads[:last]:
            head.documents_out += 1
            head.bytes_out += size
        if verdict < 0:
            return True
        reason, head = fate.reasons[verdict], self.heads[last]
        head.rejects[reason] += 1
        kept_in = self.rejects if last == len(self.heads) - 1 else self.earlier[last]
        kept_in.append(Rejected(from_line(line), reason, head.name))
        return False


def clean(job: SourceBuild, stage: int, part: int, progress: Callable[[int], None] | None = None) -> None:
    """Cleans one part in one pass, starting after its last finished chunk."""
    before_compiling(lambda: compile_ahead(groups_of(job)))
    folder = job.folder(stage)
    marks: list[dict[str, Any]] = []
    while (mark := chunk_file(folder, part, len(marks), "json")).exists():
        marks.append(read_mark(mark))
    if not marks or not marks[-1]["last"]:
        seen = Seen([Tally(name) for name in (["read"] if stage == 0 else deciders(job, stage - 1))])
        source = _read(job, part, seen) if stage == 0 else survivors(job, stage - 1, part, seen)
        items = told(source, progress)
        for _ in islice(items, sum(mark["items"] for mark in marks)):
            pass
        while not marks or not marks[-1]["last"]:
            seen.fresh()
            marks.append(_clean_chunk(job, stage, part, len(marks), items, seen))
    for kind in ("ids", *(f"signatures-{number}" for number in range(len(job.segments[stage].ends)))):
        tables = [np.load(chunk_file(folder, part, number, f"{kind}.npy")) for number in range(len(marks))]
        save_array(folder / f"{part:05d}.{kind}.npy", np.concatenate(tables))
    total = [Tally(one["name"]) for one in marks[0]["steps"]]
    for mark_of_chunk in marks:
        for tally, one in zip(total, mark_of_chunk["steps"], strict=True):
            tally.add(one)
    write_mark(folder / f"{part:05d}.json", {"chunks": len(marks), "steps": [tally.as_dict() for tally in total]})


def told(source: Iterable[object], progress: Callable[[int], None] | None) -> Iterator[Any]:
    """Yields the items of `source` and reports progress in batches."""
    number = 0
    for number, item in enumerate(source, 1):
        if progress and number % 64 == 0:
            progress(64)
        yield item
    if progress and number % 64:
        progress(number % 64)


def _clean_chunk(
    job: SourceBuild, stage: int, part: int, number: int, items: Iterator[Document | Rejected], seen: Seen
) -> dict[str, object]:
    """Runs the next chunk of `items` through the steps; returns the chunk's progress record, which is written."""
    segment, folder = job.segments[stage], job.folder(stage)
    tallies = [Tally(step.name) for step in segment.steps]
    steps = [step.make(step.params) for step in segment.steps]
    signers = [_signer(end) for end in segment.ends]
    signatures: list[list[object]] = [[] for _ in signers]
    ids: list[int] = []
    facts: list[Facts] = []
    mark: dict[str, Any] = {"items": 0, "last": False}

    def taken() -> Iterator[Document | Rejected]:
        """The next items of the part, up to `CHUNK` characters of text; counts them in the progress record."""
        left = CHUNK
        while left > 0:
            item = next(items, _OVER)
            if item is _OVER:
                mark["last"] = True
                return
            assert isinstance(item, Document | Rejected)
            mark["items"] += 1
            left -= len((item.document if isinstance(item, Rejected) else item).text) + 1
            yield item

    def cleaned() -> Iterator[bytes]:
        """The kept documents as UTF-8 lines; collects signatures and rejects on the way."""
        if any(isinstance(step, BatchStep) for step in steps):
            through = in_batches(taken(), steps, tallies, _through, _is_text)
        else:
            through = (item if isinstance(item, Rejected) else _through(item, steps, tallies) for item in taken())
        for document in through:
            if isinstance(document, Rejected):
                seen.rejects.append(document)
                continue
            for signer, table in zip(signers, signatures, strict=True):
                table.append(signer.sign(document))
            ids.append(id_hash(document.id))
            facts.append(Facts.of(document))
            yield to_line(document)

    replace(chunk_file(folder, part, number, "documents.zst"), partial(write_lines, lines=cleaned(), level=WORK_LEVEL))
    dropped = {"rejects": seen.rejects} | {
        f"rejects-{place}": documents for place, documents in enumerate(seen.earlier)
    }
    for kind, documents in dropped.items():
        write = partial(write_documents, documents=map(marked, documents), level=WORK_LEVEL)
        replace(chunk_file(folder, part, number, f"{kind}.zst"), write)
    save_array(chunk_file(folder, part, number, "ids.npy"), np.array(ids, dtype=np.uint64))
    for place, (signer, table) in enumerate(zip(signers, signatures, strict=True)):
        save_array(chunk_file(folder, part, number, f"signatures-{place}.npy"), _table(table, signer))
    languages = {language: place for place, language in enumerate(dict.fromkeys(fact.language for fact in facts))}
    rows = [(fact.bytes, fact.characters, languages[fact.language], int(fact.conversation)) for fact in facts]
    save_array(chunk_file(folder, part, number, "facts.npy"), np.array(rows, dtype=np.int64).reshape(-1, 4))
    mark["languages"] = list(languages)
    mark["steps"] = [tally.as_dict() for tally in [*seen.heads, *tallies]]
    write_mark(chunk_file(folder, part, number, "json"), mark)
    return mark


def _read(job: SourceBuild, part: int, seen: Seen) -> Iterator[Document | Rejected]:
    """Reads the documents of a part, with the provenance that the recipe declares."""
    source = job.source
    items: Iterable[Document | Rejected]
    if isinstance(job.read, CountsFiles):
        items = job.read.read_files(job.params, part, job.parts, lambda file: add_file(seen.heads[0].files, file))
    else:
        items = job.read(job.params, part, job.parts)
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
        size, head = _size(document.text), seen.heads[0]
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
        return len(scan_of(text).utf8)
    except UnicodeEncodeError:
        return -1


def _printable(document: Document) -> Document:
    document.text = document.text.encode("utf-8", "backslashreplace").decode()
    return document


def _is_text(document: Document) -> bool:
    """Whether a document is plain text, not a conversation or a pair."""
    return not document.meta.keys() & TURNS


def _through(document: Document, steps: list[Any], tallies: list[Tally]) -> Document | Rejected:
    """Runs one document through all document steps."""
    size = len(scan_of(document.text).utf8)
    for step, tally in zip(steps, tallies, strict=True):
        tally.documents_in += 1
        tally.bytes_in += size
        before = document.text
        result = step(document) if not document.meta or _is_text(document) else rewritten(document, step)
        if isinstance(result, Reject):
            tally.rejects[result.reason] += 1
            document.text = before
            return Rejected(document, result.reason, tally.name)
        document = result
        if document.text is not before and document.text != before:
            tally.changed += 1
            size = len(scan_of(document.text).utf8)
        tally.documents_out += 1
        tally.bytes_out += size
    return document


def survivors(job: SourceBuild, stage: int, part: int, seen: Seen) -> Iterator[Document]:
    """The documents of a finished pass that its decision keeps; the others become rejects."""
    for line, _ in surviving_lines(job, stage, part, seen):
        yield from_line(line)


def surviving_lines(job: SourceBuild, stage: int, part: int, seen: Seen) -> Iterator[tuple[bytes, Facts]]:
    """As `survivors`, as lines, each with its counts."""
    fate = Fate.of(job, stage, part)
    lines, facts = kept_lines(job, stage, part, "documents"), facts_of(job, stage, part)
    for line, fact, verdict in zip(lines, facts, fate.verdicts, strict=True):
        if seen.passed(line, fact.bytes, verdict, fate):
            yield line, fact


def marked(rejected: Rejected) -> Document:
    """The stored form of a reject: the document, with step and reason in its `meta`."""
    document = _printable(rejected.document)
    document.meta = {**document.meta, "rejected": {"step": rejected.step, "reason": rejected.reason}}
    return document


def id_hash(name: str) -> int:
    """64-bit hash of a document's id."""
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))


def _signer(step: NamedStep) -> SourceStep:
    made = step.make(step.params)
    assert isinstance(made, SourceStep)
    return made


def _table(signatures: list[object], signer: SourceStep) -> np.ndarray:
    if signatures:
        return np.asarray(signatures)
    empty = np.asarray(signer.sign(Document(id="", text="")))  # only for dtype and shape
    return np.empty((0, *empty.shape), dtype=empty.dtype)
