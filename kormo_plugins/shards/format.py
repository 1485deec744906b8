"""Names, number types and small records that the writer and the reader of shards share.

Ids take two bytes where the vocabulary allows it (largest id below 65,536) and four elsewhere: KORMo's
125,184 rows need four. Offsets are int64 throughout, so neither a document nor a shard has a size limit of
its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kormo_plugins.errors import KormoError
from kormo_plugins.fingerprint import file_checksum
from kormo_plugins.json_file import read_object

FORMAT = "kormo-shards-2"
SHARDS_MANIFEST = "shards.json"
IDS, OFFSETS, OFFSET_INDEX = ".ids.bin", ".offsets.bin", ".offsets.index.bin"
NAMES, NAME_OFFSETS = ".names.bin", ".names.offsets.bin"
SUFFIXES = (IDS, OFFSETS, OFFSET_INDEX, NAMES, NAME_OFFSETS)
INDEX_EVERY = 512
"""Offsets between two that are kept in the index: as many as fill a page of 4,096 bytes."""
TRAINED = ".trained.bin"
"""Of conversations only: which tokens are predicted."""
REBUILD = "build it again, or copy it again from where it is whole"


def shard_name(index: int) -> str:
    """`shard-00000` and so on; five digits sort by name up to 100,000 shards, and six do after that."""
    return f"shard-{index:05d}"


def id_dtype(largest_id: int) -> np.dtype[Any]:
    """The smallest unsigned type (uint16 or uint32, little-endian) that holds every id up to `largest_id`."""
    return np.dtype("<u2") if largest_id < 1 << 16 else np.dtype("<u4")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Size in bytes and XXH3-128 of one file, as noted when it was written."""

    bytes: int
    xxh3_128: str

    def check(self, path: Path, contents: bool = True) -> None:
        """Raises KormoError, naming the file, if it is missing, has another size or (with `contents`) other
        bytes."""
        if not path.is_file():
            raise KormoError(str(path), "no such file", "the manifest beside it lists it", REBUILD)
        size = path.stat().st_size
        if size != self.bytes:
            raise KormoError(
                str(path),
                f"{size:,} bytes",
                f"it had {self.bytes:,} when it was written: it is cut short or is another file",
                REBUILD,
            )
        if contents and (found := file_checksum(path)) != self.xxh3_128:
            raise KormoError(
                str(path),
                f"the checksum {found}",
                f"it was {self.xxh3_128} when the file was written: its contents have changed",
                REBUILD,
            )


def read_json(path: Path, expected_format: str) -> dict[str, Any]:
    """A manifest of ours.

    Raises:
        KormoError: it is missing, is not JSON, or is of another format.
    """
    never = "it is written last, so the folder was never finished, or is another folder"
    value = read_object(path, missing=(never, "build it (again); finished files in it are kept"), fix=REBUILD)
    if value.get("format") != expected_format:
        raise KormoError(
            str(path),
            f"the format {value.get('format')!r}",
            f"only {expected_format!r} is understood here",
            "build it again with this version",
        )
    return value


def file_records(values: dict[str, Any], where: Path) -> dict[str, FileRecord]:
    """The `files` part of a manifest, with names that may not leave the folder.

    Raises:
        KormoError: a name with a path in it, or a record of another shape.
    """
    records: dict[str, FileRecord] = {}
    for name, record in values.items():
        if name != Path(name).name or name in ("", ".", ".."):
            raise KormoError(str(where), f"the file name {name!r}", "it points outside its folder", REBUILD)
        try:
            records[name] = FileRecord(int(record["bytes"]), str(record["xxh3_128"]))
        except (KeyError, TypeError, ValueError):
            raise KormoError(str(where), f"the record of {name!r}", "it lacks a size or a checksum", REBUILD) from None
    return records
