"""A source as a job: its parts, its passes, and the file layout of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kormo_plugins.corpus.params import Source
from kormo_plugins.corpus.reports.unread import add as add_file
from kormo_plugins.corpus.step import FileCount
from kormo_plugins.corpus.step import NamedStep as NamedStep
from kormo_plugins.hookspecs import Params, Reader


@dataclass(frozen=True)
class StepGroup:
    """Document steps, followed by the source steps that end the group (none at the end of the pipeline). All source
    steps sign the documents in one pass; each decides on what the ones before it kept."""

    steps: tuple[NamedStep, ...]
    ends: tuple[NamedStep, ...]


@dataclass(frozen=True)
class SourceBuild:
    """Everything that the work on a part depends on. Picklable, so it can be sent to another machine.

    Args:
        name: name of the source.
        read: a reader or a generator, called as `(params, shard, shards) -> Read`.
        parts: number of parts; fixed before the work starts.
        out: the artifact's folder; work in progress is in `out/work`.
        against: folders of finished sources that this one is deduplicated against.
    """

    name: str
    source: Source
    read: Reader
    params: Params
    parts: int
    segments: tuple[StepGroup, ...]
    out: Path
    against: tuple[Path, ...] = ()

    def folder(self, stage: int) -> Path:
        """The folder of a pass. Pass len(segments) is the last one, which writes the result."""
        return self.out / "work" / f"{stage}"

    def done(self, stage: int, part: int) -> bool:
        """Whether that part of that pass is finished."""
        return (self.folder(stage) / f"{part:05d}.json").exists()


@dataclass
class Tally:
    """Counts of one step."""

    name: str
    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    changed: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    files: dict[str, dict[str, object]] = field(default_factory=dict)

    def add(self, counted: Mapping[str, Any]) -> None:
        """Adds the counts from `as_dict` of another tally of the same step."""
        self.rejects.update(counted["rejects"])
        self.notes.update(counted.get("notes", {}))
        for name, file in counted.get("files", {}).items():
            add_file(self.files, FileCount(name, file["documents"], file["rejects"]))
        for key in ("documents_in", "documents_out", "bytes_in", "bytes_out", "changed"):
            setattr(self, key, getattr(self, key) + counted[key])

    def as_dict(self) -> dict[str, object]:
        """The counts as JSON, reasons sorted; `notes` and `files` only if not empty."""
        counts = {**self.__dict__, "rejects": dict(sorted(self.rejects.items()))}
        seldom = {"notes": dict(sorted(self.notes.items())), "files": self.files}
        return {key: value for key, value in counts.items() if key not in seldom} | {
            key: value for key, value in seldom.items() if value
        }


def deciders(job: SourceBuild, stage: int) -> list[str]:
    """Names of the steps that decide on the documents of a pass."""
    return [end.name for end in job.segments[stage].ends] or ["settle"]
