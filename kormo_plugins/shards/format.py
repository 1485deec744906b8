"""Names, number types and small records that the writer and the reader of shards share.

Ids take two bytes where the vocabulary allows it (largest id below 65,536) and four elsewhere: KORMo's
125,184 rows need four. Offsets are int64 throughout, so neither a document nor a shard has a size limit of
its own.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.store.files import FORMATS
from kormo_plugins.store.files import SHARDS_MANIFEST as SHARDS_MANIFEST

INT64, UINT8, UINT32 = np.dtype("<i8"), np.dtype("u1"), np.dtype("<u4")
"""Number types on disk: little-endian."""
FORMAT = FORMATS[SHARDS_MANIFEST]
IDS, OFFSETS, OFFSET_INDEX = ".ids.bin", ".offsets.bin", ".offsets.index.bin"
NAMES, NAME_OFFSETS = ".names.bin", ".names.offsets.bin"
SUFFIXES = (IDS, OFFSETS, OFFSET_INDEX, NAMES, NAME_OFFSETS)
INDEX_EVERY = 512
"""Offsets between two that are kept in the index: as many as fill a page of 4,096 bytes."""
TRAINED = ".trained.bin"
"""Of conversations only: which tokens are predicted."""


def shard_name(index: int) -> str:
    """`shard-00000` and so on; five digits sort by name up to 100,000 shards, and six do after that."""
    return f"shard-{index:05d}"


def id_dtype(largest_id: int) -> np.dtype[np.integer]:
    """The smallest unsigned type (uint16 or uint32, little-endian) that holds every id up to `largest_id`."""
    return np.dtype("<u2") if largest_id < 1 << 16 else np.dtype("<u4")
