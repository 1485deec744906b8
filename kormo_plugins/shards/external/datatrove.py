"""datatrove's token files, also read by nanotron.

NAME.ds            ids, uint16 or uint32
NAME.ds.index      end of each document, in tokens; uint64
NAME.ds.loss       one byte per token, 1 if it is trained; optional
NAME.ds.metadata   `tokenizer|bytes of an id`, number of tokens; optional
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kormo_plugins.shards.external.token_file import (
    ReadOptions,
    TokenFile,
    copy,
    count,
    damaged,
    from_ends,
    write_through,
)
from kormo_plugins.shards.format import IDS, TRAINED
from kormo_plugins.shards.reader import Shards

SUFFIX = ".ds"
DTYPES: dict[int, np.dtype[np.integer]] = {2: np.dtype("<u2"), 4: np.dtype("<u4")}


def read(path: Path, options: ReadOptions) -> TokenFile:
    """Reads the token file `NAME.ds`; the id size is computed from the index if the metadata do not give it."""
    index = _beside(path, ".index")
    if not index.is_file():
        raise damaged(path, f"no {index.name} beside it", "it contains the document boundaries")
    ends = np.fromfile(index, "<u8")
    tokens = int(ends[-1]) if len(ends) else 0
    size = path.stat().st_size
    width = size / tokens if tokens else 2.0 if not size else 0.0  # an empty file fits any dtype
    if width not in DTYPES:
        raise damaged(path, f"{size:,} bytes for {tokens:,} tokens", "an id has 2 or 4 bytes")
    dtype = DTYPES[int(width)]
    trained = _beside(path, ".loss")
    if trained.is_file() and trained.stat().st_size != tokens:
        raise damaged(trained, f"{trained.stat().st_size:,} bytes", f"{path.name} has {tokens:,} tokens")
    return TokenFile(path, dtype, from_ends(ends, path, count(path, dtype)), trained if trained.is_file() else None)


def write(shards: Shards, shard: int, path: Path) -> None:
    """Writes one shard as `path` and its companion files."""
    name, offsets = shards.names[shard], shards.offsets[shard]
    copy(shards.folder / f"{name}{IDS}", path)
    write_through(_beside(path, ".index"), [offsets[1:].astype("<u8").tobytes()])
    if shards.masked:
        copy(shards.folder / f"{name}{TRAINED}", _beside(path, ".loss"))
    about = f"{shards.manifest['tokenizer']}|{shards.dtype.itemsize}\n{int(offsets[-1])}\n{int(offsets[-1]):,} tokens"
    write_through(_beside(path, ".metadata"), [about.encode()])


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")
