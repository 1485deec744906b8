"""Megatron's indexed datasets (`megatron/core/datasets/indexed_dataset.py`, index version 1).

NAME.bin   concatenated ids of all sequences
NAME.idx   b"MMIDIDX\\0\\0", version 1 <u8, dtype code <u1, sequences S <u8, length D of the last table <u8,
           tokens of each sequence <i4 [S], byte offset of each <i8 [S],
           first sequence of each document <i8 [D], the last entry being S
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from kormo_plugins.shards.external.token_file import (
    ReadOptions,
    TokenFile,
    copy,
    count,
    damaged,
    from_ends,
    refuse_masks,
    write_through,
)
from kormo_plugins.shards.format import IDS
from kormo_plugins.shards.reader import Shards

SUFFIX = ".bin"
MAGIC = b"MMIDIDX\x00\x00"
HEADER = struct.Struct("<9sQBQQ")
DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
"""Codes of integer dtypes; 6 and 7 are floating point."""


def read(path: Path, options: ReadOptions) -> TokenFile:
    """Reads the pair `NAME.bin`, `NAME.idx`; a document of several sequences becomes one document."""
    index = path.with_suffix(".idx")
    content = index.read_bytes() if index.is_file() else b""
    if len(content) < HEADER.size or not content.startswith(MAGIC):
        found = f"no {index.name} beside it" if not content else f"{index.name}, which is not a Megatron index"
        raise damaged(path, found, "it contains the document boundaries")
    _, version, code, sequences, documents = HEADER.unpack_from(content)
    if version != 1 or code not in DTYPES:
        raise damaged(index, f"version {version}, type {code}", "only version 1 with integer ids is supported")
    if len(content) < HEADER.size + 12 * sequences + 8 * documents or not documents:
        raise damaged(index, f"{len(content):,} bytes", f"{sequences:,} sequences and {documents:,} borders are more")
    at = HEADER.size
    lengths = np.frombuffer(content, "<i4", sequences, at).astype(np.int64)
    pointers = np.frombuffer(content, "<i8", sequences, at + 4 * sequences)
    first = np.frombuffer(content, "<i8", documents, at + 12 * sequences)
    dtype = np.dtype(DTYPES[code])
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    if (starts[:-1] * dtype.itemsize != pointers).any() or first[0] != 0 or first[-1] != sequences:
        raise damaged(index, "sequences that are not contiguous", "they would have to be copied")
    return TokenFile(path, dtype, from_ends(starts[first[1:]], path, count(path, dtype)))


def write(shards: Shards, shard: int, path: Path) -> None:
    """Writes one shard as `path` and its index, with one sequence per document: uint16 ids unchanged, uint32 ids as
    int32, the type that Megatron supports."""
    refuse_masks(shards, "Megatron")
    lengths = np.diff(shards.offsets[shard])
    if len(lengths) and int(lengths.max()) >= 1 << 31:
        raise damaged(shards.folder, f"a document of {int(lengths.max()):,} tokens", "Megatron's lengths have 31 bits")
    code = 8 if shards.dtype.itemsize == 2 else 4
    copy(shards.folder / f"{shards.names[shard]}{IDS}", path)
    write_through(
        path.with_suffix(".idx"),
        [
            HEADER.pack(MAGIC, 1, code, len(lengths), len(lengths) + 1),
            lengths.astype("<i4").tobytes(),
            (shards.offsets[shard][:-1] * shards.dtype.itemsize).astype("<i8").tobytes(),
            np.arange(len(lengths) + 1, dtype="<i8").tobytes(),
        ],
    )
