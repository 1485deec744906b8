"""Removes documents of a finished source that have a preferred copy in another source.

`minhash_dedup` with `prefer` ranks copies across sources, independent of their build order. A finished source is not
rewritten: the build that finds a better copy lists the superseded documents in `superseded-0-1.jsonl` beside its own
(pass, and index of the step), and `leave_out` derives the source without them, which all later stages read. Held-out
documents are never superseded, because their copies here would be trained on.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from kormo_plugins.corpus.passes.job import SourceBuild
from kormo_plugins.corpus.passes.part_files import Facts
from kormo_plugins.corpus.passes.stage import Summary
from kormo_plugins.documents.document import Document, write_documents
from kormo_plugins.errors import KormoError
from kormo_plugins.store.artifact import read_manifest
from kormo_plugins.store.atomic import replace, write_bytes
from kormo_plugins.store.corpus_files import part_files, read_part
from kormo_plugins.store.files import manifest_records

VERSION = 1
"""Increment when the same sources would leave out other documents."""
STEP = "superseded"
"""Used in place of a step's name in the rejects."""
COUNTED = ("documents", "bytes", "characters", "conversations", "languages", "lengths")


def write_superseded(job: SourceBuild, stage: int, number: int, rows: Iterable[tuple[str, str, str]]) -> None:
    """Writes the documents superseded by one step at the end of a pass; no file if there are none.

    Args:
        rows: source, id of the document in it, and the reason.
    """
    lines = [orjson.dumps({"source": name, "id": id_, "reason": why}) + b"\n" for name, id_, why in rows]
    if lines:
        write_bytes(job.out / f"superseded-{stage}-{number}.jsonl", b"".join(lines))


def read_superseded(folder: Path, name: str) -> dict[str, str]:
    """Id -> reason for the documents of source `name` that the corpus in `folder` supersedes.

    Raises:
        KormoError: a file has changed since it was written.
    """
    records, superseded = manifest_records(folder, read_manifest(folder)), {}
    for path in sorted(folder.glob("superseded-*.jsonl")):
        records[path.name].check(path, True)
        for line in path.read_bytes().splitlines():
            row = orjson.loads(line)
            if row["source"] == name:
                superseded[row["id"]] = row["reason"]
    return superseded


def leave_out(corpus: Path, stats: Mapping[str, Any], gone: Mapping[str, tuple[str, str]], out: Path) -> dict[str, Any]:
    """Writes the finished `corpus` into the folder `out`, turning some of its documents into rejects.

    Args:
        stats: statistics of the corpus.
        gone: id -> the source with the preferred copy, and the reason.
    Returns:
        Statistics in the form of `build_source`.
    Raises:
        KormoError: a file of the corpus has changed since it was written, or no document would remain.
    """
    (out / "rejects").mkdir(exist_ok=True)
    summary, reasons = Summary(), Counter[str]()
    for path, record in part_files(corpus).items():
        dropped: list[Document] = []

        def staying(documents: Iterator[Document], dropped: list[Document] = dropped) -> Iterator[Document]:
            """Yields the documents without a preferred copy; records the others as rejects."""
            for document in documents:
                if document.id in gone:
                    source, reason = gone[document.id]
                    mark = {"step": STEP, "reason": reason, "kept_in": source}
                    dropped.append(document)
                    document.meta = {**document.meta, "rejected": mark}
                    reasons[reason] += 1
                    continue
                summary.add(Facts.of(document))
                yield document

        _write(out / path.name, staying(read_part(path, record)))
        _write(out / "rejects" / path.name, [*_rejects(corpus, path.name), *dropped])
    _copy_rest(corpus, out)
    kept = summary.as_dict()
    if not kept["documents"]:
        raise _nothing_left(corpus, gone)
    before = {key: stats[key] for key in ("documents", "bytes")}
    step = {
        "name": STEP, "documents_in": before["documents"], "documents_out": kept["documents"],
        "bytes_in": before["bytes"], "bytes_out": kept["bytes"], "changed": 0, "rejects": dict(sorted(reasons.items())),
    }  # fmt: skip
    return {
        **stats,
        **{key: kept[key] for key in COUNTED},
        "rejected": stats["rejected"] + reasons.total(),
        "steps": [*stats["steps"], step],
    }


def _write(path: Path, documents: Iterable[Document]) -> None:
    replace(path, lambda unfinished: write_documents(unfinished, documents))


def _rejects(corpus: Path, name: str) -> Iterator[Document]:
    record = part_files(corpus, "rejects").get(corpus / "rejects" / name)
    if record is not None:
        yield from read_part(corpus / "rejects" / name, record)


def _copy_rest(corpus: Path, out: Path) -> None:
    """Copies held-out documents, clusters and models unchanged."""
    written = {path.relative_to(corpus).as_posix() for path in part_files(corpus)}
    for name, record in manifest_records(corpus, read_manifest(corpus)).items():
        if name in written or name.startswith("rejects/"):
            continue
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(corpus / name, out / name)
        record.check(out / name, True)


def _nothing_left(corpus: Path, gone: Mapping[str, tuple[str, str]]) -> KormoError:
    others = sorted({source for source, _ in gone.values()})
    return KormoError(
        where=str(corpus),
        found=f"every document of it has a preferred copy in {', '.join(others)}",
        why="a mixture cannot sample from a source without documents",
        do="remove the source, or remove `prefer` from the step",
    )
