"""Writes one shard atomically: all of its files appear, or none.

Checksums are computed over the bytes passed to the operating system, so `verify` detects a disk that stores something
else, and no file is read back for hashing. Every file is flushed before it is renamed, and the shard's own `.json` is
written last: if it exists, the others are complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import xxhash
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError, writing
from kormo_plugins.shards.format import (
    FORMAT,
    IDS,
    INDEX_EVERY,
    NAME_OFFSETS,
    NAMES,
    OFFSET_INDEX,
    OFFSETS,
    SHARDS_MANIFEST,
    SUFFIXES,
    TRAINED,
)
from kormo_plugins.store.atomic import publish, temporary
from kormo_plugins.store.files import FileRecord
from kormo_plugins.store.json_file import write_json

COUNTED = ("languages", "licenses", "generators", "synthetic")
"""Attributes by which each shard counts its documents."""


class HashedFile:
    """A file written sequentially, hashed on the way and renamed into place by `close`."""

    def __init__(self, path: Path) -> None:
        self.path, self.bytes = path, 0
        self._temporary = temporary(path)
        self._digest = xxhash.xxh3_128()
        self._file: BinaryIO = self._temporary.open("wb")

    def write(self, data: bytes | NDArray[np.integer]) -> None:
        """Appends bytes, or the bytes of an array."""
        raw = np.ascontiguousarray(data).data if isinstance(data, np.ndarray) else data
        view = memoryview(raw).cast("B")
        if view.nbytes:
            with writing(self.path):
                self._file.write(view)
            self._digest.update(view)
            self.bytes += view.nbytes

    def peek(self) -> FileRecord:
        """Size and checksum of the data written so far."""
        return FileRecord(self.bytes, self._digest.hexdigest())

    def close(self) -> FileRecord:
        """Flushes to disk, renames into place and returns size and checksum.

        Raises:
            KormoError: the disk is full; the temporary file is removed.
        """
        try:
            with writing(self.path):
                self._file.close()
                publish(self._temporary, self.path)
        except BaseException:
            self.discard()
            raise
        return self.peek()

    def discard(self) -> None:
        """Discards the written data."""
        with suppress(OSError):  # a full disk fails again for the data still buffered
            self._file.close()
        self._temporary.unlink(missing_ok=True)


class ShardWriter:
    """Writes the shard `name` of `folder` batch by batch; as a context manager it discards everything on an error.

    Args:
        folder: the source's folder, which must exist.
        name: `shard-00000` and so on.
        dtype: dtype of the ids on disk, from `format.id_dtype`.
        masked: whether `add` receives a loss mask.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype[np.integer], *, masked: bool = False) -> None:
        self.folder, self.name, self.dtype, self.masked = folder, name, dtype, masked
        self.documents = self.tokens = self.trained = 0
        suffixes = (*SUFFIXES, TRAINED) if masked else SUFFIXES
        self._files = {suffix: HashedFile(folder / f"{name}{suffix}") for suffix in suffixes}
        self._name_bytes = 0
        self._files[OFFSETS].write(np.zeros(1, "<i8"))
        self._files[OFFSET_INDEX].write(np.zeros(1, "<i8"))
        self._files[NAME_OFFSETS].write(np.zeros(1, "<i8"))

    def add(
        self,
        ids: NDArray[np.integer],
        lengths: NDArray[np.integer],
        names: Sequence[str],
        trained: NDArray[np.uint8] | None = None,
    ) -> None:
        """Appends documents.

        Args:
            ids: their concatenated tokens, shape [sum(lengths)].
            lengths: tokens of each, shape [documents].
            names: name of each.
            trained: 1 for each predicted token, shape of `ids`; only if `masked`.
        """
        assert (trained is not None) == self.masked
        if trained is not None:
            self._files[TRAINED].write(trained)
            self.trained += int(trained.sum())
        encoded = [name.encode() for name in names]
        self._files[IDS].write(ids.astype(self.dtype, copy=False))
        offsets = self.tokens + np.cumsum(lengths, dtype="<i8")
        self._files[OFFSETS].write(offsets)
        self._files[OFFSET_INDEX].write(offsets[-(self.documents + 1) % INDEX_EVERY :: INDEX_EVERY])
        self._files[NAMES].write(b"".join(encoded))
        ends = np.cumsum(np.fromiter(map(len, encoded), "<i8", len(encoded)), dtype="<i8")
        self._files[NAME_OFFSETS].write(self._name_bytes + ends)
        self.documents += len(encoded)
        self.tokens += len(ids)
        self._name_bytes += int(ends[-1]) if len(ends) else 0

    def finish(self, made_from: dict[str, object]) -> dict[str, object]:
        """Renames the files into place, writes `NAME.json` last and returns its content."""
        files = {file.path.name: asdict(file.close()) for file in self._files.values()}
        record = {
            "format": FORMAT,
            "name": self.name,
            "documents": self.documents,
            "tokens": self.tokens,
            **({"trained": self.trained} if self.masked else {}),
            "dtype": self.dtype.str,
            **made_from,
            "files": files,
        }
        write_json(self.folder / f"{self.name}.json", record)
        return record

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is not None:
            for file in self._files.values():
                file.discard()


def finish_source(
    out: Path, source: str, records: Sequence[dict[str, Any]], about: dict[str, object]
) -> dict[str, object]:
    """Writes `shards.json`, the last file of a source, and returns its content.

    Args:
        out: the source's folder.
        source: its name.
        records: results of `ShardWriter.finish` for each shard, in order.
        about: further entries for the whole source; at least `tokenizer`, the hash.
    Raises:
        KormoError: there is no document.

    In the result, `trained` is the number of predicted tokens, if the source has masks.
    """
    if not sum(record["documents"] for record in records):
        raise KormoError(
            where=f"source {source}",
            found="no documents",
            why="a mixture cannot sample from a source without documents",
            do="check the reader and the corpus steps, or remove the source",
        )
    manifest = {
        "format": FORMAT,
        "source": source,
        "dtype": records[0]["dtype"],
        "documents": sum(record["documents"] for record in records),
        "tokens": sum(record["tokens"] for record in records),
        **({"trained": sum(r["trained"] for r in records)} if all("trained" in r for r in records) else {}),
        **{key: _total(record.get(key, {}) for record in records) for key in COUNTED},
        **about,
        "shards": [{k: record[k] for k in ("name", "documents", "tokens", "files")} for record in records],
    }
    write_json(out / SHARDS_MANIFEST, manifest)
    return manifest


def _total(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))
