"""Reads a folder of shards through memory maps: opening a source of trillions of tokens reads only its manifest.

Positions are counted over the whole source: token p is the p-th token of shard 0, shard 1, ... concatenated. A row plan
stores only this number; shard and document are found by binary search.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError
from kormo_plugins.shards.format import (
    FORMAT,
    IDS,
    INDEX_EVERY,
    INT64,
    NAME_OFFSETS,
    NAMES,
    OFFSET_INDEX,
    OFFSETS,
    SHARDS_MANIFEST,
    TRAINED,
    UINT8,
)
from kormo_plugins.store.files import REBUILD, FileRecord, file_records, read_json
from kormo_plugins.store.fingerprint import identity

_Number = TypeVar("_Number", bound=np.integer)
LABELS = (IDS, OFFSETS, TRAINED)
"""Files that determine the training data; the others are names."""


def memory_map(path: Path, dtype: np.dtype[_Number], count: int | None = None) -> NDArray[_Number]:
    """A read-only memory map; an empty array for an empty file, which cannot be mapped.

    Raises:
        KormoError: the file is missing, or does not have `count` elements.
    """
    size = path.stat().st_size if path.is_file() else -1
    if size < 0 or (count is not None and size != count * dtype.itemsize):
        expected = f"{count * dtype.itemsize:,} bytes" if count is not None else "a file"
        raise KormoError(
            where=str(path),
            found="no such file" if size < 0 else f"{size:,} bytes",
            why=f"{expected} is needed",
            do=REBUILD,
        )
    if not size:
        return np.zeros(0, dtype)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    # access is random: reading ahead, megabytes on many machines, would be wasted
    mapped.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(mapped, dtype)


def read_ahead(part: NDArray[np.integer]) -> None:
    """Asks the system to read a part of a memory map, in one request and without waiting. With several parts,
    requesting all of them first means waiting once instead of page by page."""
    whole = part.base if isinstance(part.base, np.ndarray) else part
    mapped = whole.base.obj if isinstance(whole.base, memoryview) else None
    if not isinstance(mapped, mmap.mmap) or not part.size:
        return
    begin = part.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    first = begin - begin % mmap.PAGESIZE
    mapped.madvise(mmap.MADV_WILLNEED, first, begin + part.nbytes - first)


class Shards:
    """The shards of one source.

    Args:
        folder: holds `shards.json`.
    Raises:
        KormoError: the folder is unfinished or of another format, or a file is missing or has a different size.
            Contents are not read here; `verify` does that.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_json(self.folder / SHARDS_MANIFEST, FORMAT)
        self.dtype: np.dtype[np.integer] = np.dtype(self.manifest["dtype"])
        self.names: list[str] = [shard["name"] for shard in self.manifest["shards"]]
        self.first_token = _starts(shard["tokens"] for shard in self.manifest["shards"])
        """Position of the first token of each shard, then the number of tokens; int64 [shards + 1]."""
        self.first_document = _starts(shard["documents"] for shard in self.manifest["shards"])
        for name, record in self.files().items():
            record.check(self.folder / name, contents=False)

    @property
    def tokens(self) -> int:
        """Tokens of the source."""
        return int(self.first_token[-1])

    @property
    def documents(self) -> int:
        """Documents of the source, empty ones included."""
        return int(self.first_document[-1])

    def files(self) -> dict[str, FileRecord]:
        """File name -> size and checksum for every data file of the source."""
        where = self.folder / SHARDS_MANIFEST
        return {n: r for shard in self.manifest["shards"] for n, r in file_records(shard["files"], where).items()}

    @cached_property
    def identity(self) -> str:
        """SHA-256 of everything that determines the tokens: checksums, order, tokenizer; independent of the
        location."""
        return identity(
            {
                "format": FORMAT,
                "tokenizer": self.manifest["tokenizer"],
                "dtype": self.dtype.str,
                "files": [[n, r.bytes, r.xxh3_128] for n, r in self.files().items() if n.endswith(LABELS)],
            }
        )

    @cached_property
    def ids(self) -> list[NDArray[np.integer]]:
        """Token ids of each shard."""
        return [self._map(shard, IDS, self.dtype, int(n)) for shard, n in self._sizes(self.first_token)]

    @cached_property
    def offsets(self) -> list[NDArray[np.int64]]:
        """Document offsets of each shard, relative to the shard."""
        return [self._map(shard, OFFSETS, INT64, int(n) + 1) for shard, n in self._sizes(self.first_document)]

    @cached_property
    def index(self) -> list[NDArray[np.int64]]:
        """Every `INDEX_EVERY`th offset of each shard, read into memory: 16 MB for a billion documents.

        Raises:
            KormoError: an index does not match its offsets.
        """
        indexes = []
        for shard, count in self._sizes(self.first_document):
            path = self.folder / f"{shard}{OFFSET_INDEX}"
            part = np.fromfile(path, "<i8")
            if len(part) != int(count) // INDEX_EVERY + 1 or part[0] or (np.diff(part) < 0).any():
                raise KormoError(
                    where=str(path),
                    found=f"{len(part):,} numbers",
                    why="they cannot be the offsets of this shard",
                    do=REBUILD,
                )
            indexes.append(part)
        return indexes

    @property
    def masked(self) -> bool:
        """Whether the source has loss masks."""
        return "trained" in self.manifest

    @cached_property
    def trained(self) -> list[NDArray[np.uint8]]:
        """For a `masked` source: 1 for each predicted token, per shard."""
        return [self._map(shard, TRAINED, UINT8, int(n)) for shard, n in self._sizes(self.first_token)]

    def windows(self, documents: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Start position and token count of up to `documents` documents at a time, in sequential order; each int64
        [documents]."""
        for number, (shard, count) in enumerate(self._sizes(self.first_document)):
            path, base = self.folder / f"{shard}{OFFSETS}", int(self.first_token[number])
            for begin in range(0, int(count), documents):
                part = np.fromfile(path, "<i8", min(documents, int(count) - begin) + 1, offset=8 * begin)
                yield base + part[:-1], np.diff(part)

    def will_need(self, start: int, end: int) -> None:
        """Asks the system to read the tokens at [start, end) of one shard, in one request and without waiting."""
        read_ahead(self.tokens_at(start, end))

    def _sizes(self, starts: NDArray[np.int64]) -> Iterator[tuple[str, int]]:
        return zip(self.names, np.diff(starts), strict=True)

    def _map(self, shard: str, suffix: str, dtype: np.dtype[_Number], count: int | None) -> NDArray[_Number]:
        return memory_map(self.folder / f"{shard}{suffix}", dtype, count)

    def span(self, document: int) -> tuple[int, int]:
        """Positions of a document's first token and of the token after its last."""
        shard = self._shard_of(self.first_document, document, "document")
        local = document - int(self.first_document[shard])
        base = int(self.first_token[shard])
        return base + int(self.offsets[shard][local]), base + int(self.offsets[shard][local + 1])

    def locate(self, positions: Iterable[int]) -> list[tuple[int, int]]:
        """The document of each token, and the position of the document's first token.

        Each lookup reads one page of a file; all pages are requested before the first is waited for.
        """
        requests = []
        for position in positions:
            shard = self._shard_of(self.first_token, position, "token")
            local = position - int(self.first_token[shard])
            first = INDEX_EVERY * (int(np.searchsorted(self.index[shard], local, "right")) - 1)
            page = self.offsets[shard][first : min(first + INDEX_EVERY, len(self.offsets[shard]) - 1)]
            read_ahead(page)
            requests.append((shard, local, first, page))
        spans = []
        for shard, local, first, page in requests:
            place = int(np.searchsorted(page, local, "right")) - 1
            start = int(self.first_token[shard]) + int(page[place])
            spans.append((int(self.first_document[shard]) + first + place, start))
        return spans

    def tokens_at(self, start: int, end: int) -> NDArray[np.integer]:
        """Ids at positions [start, end), within one shard."""
        shard = self._shard_of(self.first_token, start, "token")
        base = int(self.first_token[shard])
        return self.ids[shard][start - base : end - base]

    def document(self, document: int) -> NDArray[np.integer]:
        """All ids of a document."""
        start, end = self.span(document)
        return self.tokens_at(start, end) if end > start else np.zeros(0, self.dtype)

    def name(self, document: int) -> str:
        """The name (id) of the document in its corpus."""
        shard = self._shard_of(self.first_document, document, "document")
        local = document - int(self.first_document[shard])
        ends = self._map(self.names[shard], NAME_OFFSETS, INT64, None)
        start, end = int(ends[local]), int(ends[local + 1])
        return bytes(self._map(self.names[shard], NAMES, UINT8, None)[start:end]).decode()

    def _shard_of(self, starts: NDArray[np.int64], number: int, what: str) -> int:
        if not 0 <= number < starts[-1]:
            raise KormoError(
                where=str(self.folder),
                found=f"{what} {number}",
                why=f"the source has {int(starts[-1]):,} of them",
                do="use an index in this range; a row plan with larger ones belongs to other shards",
            )
        return int(np.searchsorted(starts, number, "right")) - 1


def _starts(sizes: Iterable[int]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.fromiter(sizes, np.int64), dtype=np.int64)])
