"""Documents of a finished source of which another source has a copy that is preferred.

`minhash_dedup` with `prefer` ranks the copies that a source shares with those it is deduplicated against, whoever was
built first. A finished source is not rewritten: the build that found the better copy names the others in
`superseded-0-1.jsonl` beside its documents (pass, and place of the step), and `leave_out` makes the source without
them, which everything later reads. What is held out there is never superseded: its copies here would be trained on.
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
"""Raised when the same sources would leave out others."""
STEP = "superseded"
"""In the place of a step's name, of what is left out."""
COUNTED = ("documents", "bytes", "characters", "conversations", "languages", "lengths")


def write_superseded(job: SourceBuild, stage: int, number: int, rows: Iterable[tuple[str, str, str]]) -> None:
    """Writes what one step at the end of a stage found; no file where it found nothing.

    Args:
        rows: source, id of the document there, and the reason.
    """
    lines = [orjson.dumps({"source": name, "id": id_, "reason": why}) + b"\n" for name, id_, why in rows]
    if lines:
        write_bytes(job.out / f"superseded-{stage}-{number}.jsonl", b"".join(lines))


def read_superseded(folder: Path, name: str) -> dict[str, str]:
    """Id -> reason of the documents of source `name` that the corpus in `folder` supersedes.

    Raises:
        KormoError: a file that is not as it was written.
    """
    records, found = manifest_records(folder, read_manifest(folder)), {}
    for path in sorted(folder.glob("superseded-*.jsonl")):
        records[path.name].check(path, True)
        for line in path.read_bytes().splitlines():
            row = orjson.loads(line)
            if row["source"] == name:
                found[row["id"]] = row["reason"]
    return found


def leave_out(corpus: Path, stats: Mapping[str, Any], gone: Mapping[str, tuple[str, str]], out: Path) -> dict[str, Any]:
    """Writes the finished `corpus` without some of its documents, which become rejects, into the folder `out`.

    Args:
        stats: of the corpus.
        gone: id -> the source that has a better copy, and the reason.
    Returns:
        statistics as `build_source` gives them.
    Raises:
        KormoError: a file of the corpus that is not as it was written, or nothing would be left.
    """
    (out / "rejects").mkdir(exist_ok=True)
    summary, reasons = Summary(), Counter[str]()
    for path, record in part_files(corpus).items():
        dropped: list[Document] = []

        def staying(documents: Iterator[Document], dropped: list[Document] = dropped) -> Iterator[Document]:
            """What no other source has a better copy of; the rest is marked as rejects."""
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
    """Held-out documents, clusters and models, as they are."""
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
        why="a source without documents cannot be mixed",
        do="leave the source out, or take `prefer` out of the step",
    )
