"""OLMo-core's token files: raw ids in a `.npy` file without a header, documents terminated by the end token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError
from kormo_plugins.shards.external.token_file import ReadOptions, TokenFile, copy, count, damaged, refuse_masks
from kormo_plugins.shards.format import IDS
from kormo_plugins.shards.reader import Shards, memory_map

SUFFIX = ".npy"
NUMPY_HEADER = b"\x93NUMPY"
DTYPES = {"uint8": "<u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8"}
SCANNED = 1 << 24
"""Ids per chunk."""


def read(path: Path, options: ReadOptions) -> TokenFile:
    """Reads the ids; a last document without an end token counts as a document."""
    if options.dtype not in DTYPES or options.end_id is None:
        end = "not given" if options.end_id is None else options.end_id
        raise KormoError(
            where=str(path),
            found=f"dtype {options.dtype or 'not given'}, end token {end}",
            why="files of OLMo-core record neither the dtype of the ids nor the document boundaries",
            do=f"give dtype ({', '.join(DTYPES)}) and the id of the end token",
        )
    with path.open("rb") as file:
        if file.read(len(NUMPY_HEADER)) == NUMPY_HEADER:
            raise damaged(path, "a header of NumPy", "files of OLMo-core are raw ids")
    dtype = np.dtype(DTYPES[options.dtype])
    tokens = count(path, dtype)
    ends = np.concatenate([*_ends(memory_map(path, dtype), options.end_id), np.zeros(0, np.int64)])
    if not len(ends) or ends[-1] != tokens:
        ends = np.append(ends, tokens)
    return TokenFile(path, dtype, np.concatenate([np.zeros(1, np.int64), ends]))


def _ends(ids: NDArray[np.integer], end_id: int) -> Iterator[NDArray[np.int64]]:
    for begin in range(0, len(ids), SCANNED):
        yield np.flatnonzero(ids[begin : begin + SCANNED] == end_id).astype(np.int64) + begin + 1


def write(shards: Shards, shard: int, path: Path) -> None:
    """Writes one shard as `path`.

    Raises:
        KormoError: a document does not end with the end token, or contains it elsewhere: its boundary would be lost.
    """
    refuse_masks(shards, "OLMo-core")
    end = shards.manifest.get("eos_id")
    ids, offsets = shards.ids[shard], shards.offsets[shard]
    ends = np.concatenate([*_ends(ids, -1 if end is None else int(end)), np.zeros(0, np.int64)])
    if not np.array_equal(ends, offsets[1:]):
        raise KormoError(
            where=str(shards.folder),
            found=f"the token {end} missing at the end of a document, or inside one",
            why="files of OLMo-core have no other document boundary",
            do="convert to the format datatrove or megatron",
        )
    copy(shards.folder / f"{shards.names[shard]}{IDS}", path)
