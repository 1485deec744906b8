"""File names, dtypes and small records shared by the writer and the reader of shards.

Ids take two bytes if the vocabulary allows it (largest id below 65,536), otherwise four: KORMo's 125,184 rows need
four. Offsets are always int64, so document and shard sizes are not limited by the format.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.store.files import FORMATS
from kormo_plugins.store.files import SHARDS_MANIFEST as SHARDS_MANIFEST

INT64, UINT8, UINT32 = np.dtype("<i8"), np.dtype("u1"), np.dtype("<u4")
"""Dtypes on disk: little-endian."""
FORMAT = FORMATS[SHARDS_MANIFEST]
IDS, OFFSETS, OFFSET_INDEX = ".ids.bin", ".offsets.bin", ".offsets.index.bin"
NAMES, NAME_OFFSETS = ".names.bin", ".names.offsets.bin"
SUFFIXES = (IDS, OFFSETS, OFFSET_INDEX, NAMES, NAME_OFFSETS)
INDEX_EVERY = 512
"""Interval of the offsets kept in the index: one page of 4,096 bytes."""
TRAINED = ".trained.bin"
"""The loss mask; conversations only."""


def shard_name(index: int) -> str:
    """`shard-00000` and so on; five digits sort by name up to 100,000 shards; more shards get six digits."""
    return f"shard-{index:05d}"


def id_dtype(largest_id: int) -> np.dtype[np.integer]:
    """The smallest unsigned dtype (uint16 or uint32, little-endian) for ids up to `largest_id`."""
    return np.dtype("<u2") if largest_id < 1 << 16 else np.dtype("<u4")
