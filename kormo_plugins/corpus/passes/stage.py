"""The work on one part: read, clean, sign, write. A pure function of the part's input.

Cleaning runs in passes, because a source step such as deduplication separates the steps before it from those after it:

    pass 0      reader or generator → document steps → documents + signatures
    decision    all signatures, in source order → which documents stay
    pass 1      documents that stay → document steps → documents + signatures
    …
    last pass   documents that stay → part-00000.jsonl.zst, held_out/, rejects/

Files are written under a temporary name. A part's `.json`, written last, records that the part is finished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count

import numpy as np

from kormo_plugins.corpus.passes.clean import Seen, clean, id_hash, marked, surviving_lines, told
from kormo_plugins.corpus.passes.job import SourceBuild, Tally, deciders
from kormo_plugins.corpus.passes.marks import read_mark, write_mark
from kormo_plugins.corpus.passes.part_files import Facts, all_rejects
from kormo_plugins.documents.document import from_line, to_line, write_lines
from kormo_plugins.store.atomic import replace


def work(job: SourceBuild, stage: int, part: int, progress: Callable[[int], None] | None = None) -> None:
    """Runs one part of one pass, unless it is finished."""
    folder = job.folder(stage)
    if job.done(stage, part):
        return
    for place in (folder, job.out / "rejects", job.out / "held_out"):
        place.mkdir(parents=True, exist_ok=True)
    if stage == len(job.segments):
        _finish(job, part, progress)
    else:
        clean(job, stage, part, progress)


def _finish(job: SourceBuild, part: int, progress: Callable[[int], None] | None) -> None:
    """The last pass: writes the documents that stay, renaming repeated ids and separating held-out documents."""
    folder, last = job.folder(len(job.segments)), len(job.segments) - 1
    seen = Seen([Tally(name) for name in deciders(job, last)])
    held: list[bytes] = []
    held_bytes: list[int] = []
    summary = Summary()
    settled = read_mark(job.folder(last) / f"{part:05d}.settled.json")
    held_out, renamed = set(settled["held_out"]), {int(k): v for k, v in settled["renamed"].items()}
    taken = _all_ids(job, last) if renamed else np.empty(0, np.uint64)

    def staying() -> Iterator[bytes]:
        """The lines that stay in the corpus, as UTF-8; documents with a repeated id are renamed, held-out documents are
        collected separately."""
        for index, (line, facts) in enumerate(told(surviving_lines(job, last, part, seen), progress)):
            if index in renamed:
                document = from_line(line)
                document.meta["id"], document.id = document.id, free_name(document.id, renamed[index], taken)
                line = to_line(document)
            if index in held_out:
                held.append(line)
                held_bytes.append(facts.bytes)
                continue
            summary.add(facts)
            yield line

    name = f"part-{part:05d}.jsonl.zst"
    replace(job.out / name, lambda path: write_lines(path, staying()))
    replace(job.out / "held_out" / name, lambda path: write_lines(path, held))
    earlier = chain.from_iterable(all_rejects(job, stage, part) for stage in range(len(job.segments)))
    here = map(to_line, map(marked, chain(*seen.earlier, seen.rejects)))
    replace(job.out / "rejects" / name, lambda path: write_lines(path, chain(earlier, here)))
    outcome = {
        "steps": [head.as_dict() for head in seen.heads] if job.segments[last].ends else [],
        "kept": summary.as_dict(),
        "held_out": {"documents": len(held), "bytes": sum(held_bytes)},
        "renamed": len(renamed),
    }
    write_mark(folder / f"{part:05d}.json", outcome)


def _all_ids(job: SourceBuild, stage: int) -> np.ndarray:
    """Sorted hashes of all ids of the source."""
    folder = job.folder(stage)
    return np.sort(np.concatenate([np.load(folder / f"{part:05d}.ids.npy") for part in range(job.parts)]))


def free_name(name: str, repeat: int, taken: np.ndarray) -> str:
    """A new id for the `repeat`-th repetition of the id `name`: `name~2`, `name~3`, …, skipping ids that other
    documents have.

    Args:
        taken: sorted hashes of all ids of the source, uint64.
    """
    for number in count(2):
        candidate = f"{name}~{number}"
        key = np.uint64(id_hash(candidate))
        place = int(np.searchsorted(taken, key))
        repeat -= not (place < len(taken) and taken[place] == key)
        if repeat == 0:
            return candidate
    raise AssertionError("numbers do not end")


@dataclass
class Summary:
    """Final counts of a source."""

    documents: int = 0
    bytes: int = 0
    characters: int = 0
    conversations: int = 0
    languages: dict[str, Counter[str]] = field(default_factory=dict)
    lengths: Counter[int] = field(default_factory=Counter)

    def add(self, facts: Facts) -> None:
        """Counts a document: characters are code points, bytes are UTF-8, both of its text; `lengths` has a bin for
        each power of two of characters."""
        self.documents += 1
        self.bytes += facts.bytes
        self.characters += facts.characters
        self.conversations += facts.conversation
        language = self.languages.setdefault(facts.language, Counter())
        language["documents"] += 1
        language["bytes"] += facts.bytes
        self.lengths[facts.characters.bit_length()] += 1

    def as_dict(self) -> dict[str, object]:
        """The counts; `lengths[k]` is the number of documents with at least 2^(k-1) and fewer than 2^k characters."""
        languages = {code: dict(counts) for code, counts in sorted(self.languages.items())}
        lengths = {str(k): n for k, n in sorted(self.lengths.items())}
        return {**self.__dict__, "languages": languages, "lengths": lengths}
