"""The documents of a finished corpus, compared with its manifest while they are read.

    python -m kormo_plugins.store.corpus_files CORPUS > text.txt

prints their text, a line for each line that is not empty: what programs that learn from plain text read.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from kormo_plugins.documents.document import Document, read_documents
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.store.artifact import MANIFEST, read_manifest
from kormo_plugins.store.files import CheckedFile, FileRecord, manifest_records

CHUNK = 1 << 18
"""Bytes read and hashed at a time."""


def read_corpus(folder: Path) -> Iterator[Document]:
    """The documents of a corpus, or of its `held_out` or `rejects`, part after part.

    A corpus that is still being built has no manifest, and is not verified.

    Raises:
        KormoError: names the file that is missing, truncated or changed. It is raised at the end of the file at the
            latest, so publish nothing made of the documents before the iterator is exhausted.
    """
    base = folder if (folder / MANIFEST).is_file() else folder.parent
    if not (base / MANIFEST).is_file():
        for part in sorted(folder.glob("part-*.jsonl.zst")):
            yield from read_documents(part)
        return
    for part, record in part_files(base, folder.relative_to(base).as_posix()).items():
        yield from read_part(part, record)


def part_files(corpus: Path, below: str = ".") -> dict[Path, FileRecord]:
    """The part files that a corpus's manifest lists, in order.

    Args:
        corpus: folder with a manifest.
        below: `held_out` or `rejects`, for the files of those.
    """
    prefix = "" if below == "." else f"{below}/"
    records = manifest_records(corpus, read_manifest(corpus))
    return {corpus / name: record for name, record in sorted(records.items()) if _is_part(name, prefix)}


def read_part(path: Path, record: FileRecord) -> Iterator[Document]:
    """The documents of one part file.

    Raises:
        KormoError: the file differs from its record.
    """
    with CheckedFile(path, record) as file:
        buffered = io.BufferedReader(file, CHUNK)  # closes the file when it is garbage-collected
        try:
            yield from read_documents(buffered)
        except KormoError:
            raise
        except Exception as error:  # from zstandard, JSON or Unicode: how damage shows
            file.finish()  # raises if the bytes have changed
            raise KormoError(
                where=str(path),
                found=in_words(error),
                why="its checksum is correct, but it cannot be read as documents",
                do="build the corpus again",
            ) from error
        file.finish()


def _is_part(name: str, prefix: str) -> bool:
    rest = name.removeprefix(prefix)
    return name.startswith(prefix) and "/" not in rest and rest.startswith("part-") and rest.endswith(".jsonl.zst")


def print_text(folder: Path) -> None:
    """The lines of all documents, on stdout."""
    for document in read_corpus(folder):
        lines = (line.strip() for line in document.text.splitlines())
        sys.stdout.write("".join(f"{line}\n" for line in lines if line))


if __name__ == "__main__":
    print_text(Path(sys.argv[1]))
