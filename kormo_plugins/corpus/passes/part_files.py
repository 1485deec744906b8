"""The files of a part in progress: chunks of document lines, the counts of each document, and the decisions on it.

A line is serialized once, by the pass that cleans, and copied unchanged by the last pass: only renamed or dropped
documents are parsed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kormo_plugins.corpus.passes.job import SourceBuild, deciders
from kormo_plugins.corpus.passes.marks import read_mark
from kormo_plugins.corpus.scan.text_scan import scan_of
from kormo_plugins.documents.conversation import MESSAGES
from kormo_plugins.documents.document import Document, from_line, read_lines


def kept(job: SourceBuild, stage: int, part: int, kind: str) -> Iterator[Document]:
    """The `documents` or the `rejects` of a finished part of a pass."""
    return map(from_line, kept_lines(job, stage, part, kind))


def kept_lines(job: SourceBuild, stage: int, part: int, kind: str) -> Iterator[bytes]:
    """As `kept`, as lines."""
    folder = job.folder(stage)
    for number in range(read_mark(folder / f"{part:05d}.json")["chunks"]):
        yield from read_lines(chunk_file(folder, part, number, f"{kind}.zst"))


def all_rejects(job: SourceBuild, stage: int, part: int) -> Iterator[bytes]:
    """The lines that a part lost in a pass: those of earlier decisions first, as if each had been a pass of its own."""
    before = deciders(job, stage - 1)[1:] if stage else ()
    for number in range(len(before)):
        yield from kept_lines(job, stage, part, f"rejects-{number}")
    yield from kept_lines(job, stage, part, "rejects")


@dataclass(frozen=True, slots=True)
class Facts:
    """Counts of a document, kept so that it need not be parsed again: bytes and characters of its text, its language,
    and whether it is a conversation."""

    bytes: int
    characters: int
    language: str
    conversation: bool

    @classmethod
    def of(cls, document: Document) -> Facts:
        """The counts of a document."""
        size = len(scan_of(document.text).utf8)
        return cls(size, len(document.text), document.language, MESSAGES in document.meta)


def facts_of(job: SourceBuild, stage: int, part: int) -> Iterator[Facts]:
    """The counts of every document of a finished part of a pass."""
    folder = job.folder(stage)
    for number in range(read_mark(folder / f"{part:05d}.json")["chunks"]):
        languages = read_mark(chunk_file(folder, part, number, "json"))["languages"]
        for size, characters, language, conversation in np.load(chunk_file(folder, part, number, "facts.npy")).tolist():
            yield Facts(size, characters, languages[language], bool(conversation))


def chunk_file(folder: Path, part: int, number: int, kind: str) -> Path:
    """Path of a chunk's file of that kind (documents, signatures, …)."""
    return folder / f"{part:05d}-{number:04d}.{kind}"


@dataclass(frozen=True)
class Fate:
    """The decisions on the documents of a part.

    Args:
        verdicts: for each document -1, or an index into the reasons.
        steps: for each reason, the index of the source step that gave it.
    """

    verdicts: list[int]
    reasons: list[str]
    steps: list[int]

    @classmethod
    def of(cls, job: SourceBuild, stage: int, part: int) -> Fate:
        """Reads the decisions on a part of a pass."""
        decision = read_mark(job.folder(stage) / "decision.json")
        verdicts = np.load(job.folder(stage) / f"{part:05d}.fate.npy").tolist()
        return cls(verdicts, decision["reasons"], decision["steps"])
