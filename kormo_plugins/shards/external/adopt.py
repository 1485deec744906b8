"""Uses external token files as a source: links the ids, writes offsets and names, and checks the tokenizer.

Every id is read once, for the checksum and the largest id. The tokenizer is checked against that id and on a sample of
documents: decoding and encoding must reproduce the ids of nearly all. With a wrong tokenizer almost none do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError
from kormo_plugins.shards.encoder import Encoder
from kormo_plugins.shards.external.token_file import Progress, TokenFile
from kormo_plugins.shards.format import (
    FORMAT,
    IDS,
    INDEX_EVERY,
    NAME_OFFSETS,
    NAMES,
    OFFSET_INDEX,
    OFFSETS,
    TRAINED,
    UINT8,
    shard_name,
)
from kormo_plugins.shards.reader import memory_map
from kormo_plugins.shards.writer import HashedFile, finish_source
from kormo_plugins.store.atomic import link
from kormo_plugins.store.files import FileRecord
from kormo_plugins.store.fingerprint import file_checksum
from kormo_plugins.store.json_file import write_json

LINKED = {"<u2": "<u2", "<u4": "<u4", "<i4": "<u4", "<i2": "<u2"}
"""Dtype -> dtype of ours with the same bytes, since ids are not negative. Other dtypes are copied."""
BLOCK = 1 << 22
"""Ids, or names, per chunk."""
SAMPLE = 64
SAMPLE_TOKENS = 256
AGREE = 0.5
"""Required share of reproduced documents; characters split at a token boundary are not reproduced."""


@dataclass(frozen=True)
class Origin:
    """Metadata of the files, kept in the manifest."""

    source: str
    format: str
    bos_id: int | None
    eos_id: int | None


def adopt(
    files: Sequence[TokenFile], tokenizer: Path, out: Path, origin: Origin, progress: Progress
) -> dict[str, object]:
    """Makes the shard folder `out` from token files; returns the content of its `shards.json`.

    Args:
        tokenizer: folder of the tokenizer that made the ids.
        progress: called with the number of tokens of each finished file.
    Raises:
        KormoError: mixed kinds of files, a tokenizer that cannot have made them, or no document.
    """
    out.mkdir(parents=True, exist_ok=True)
    dtype = _one_dtype(files)
    encoder = Encoder(tokenizer)
    check_sample(files, tokenizer, encoder)
    records = []
    for number, file in enumerate(files):
        records.append(_shard(file, shard_name(number), out, dtype, encoder))
        progress(file.tokens)
    about = {
        "tokenizer": encoder.hash,
        "largest_id": encoder.largest_id,
        "bos_id": origin.bos_id,
        "eos_id": origin.eos_id,
        "control_tokens": [],
        "encoder": origin.format,
    }
    return finish_source(out, origin.source, records, about)


def _one_dtype(files: Sequence[TokenFile]) -> np.dtype[np.integer]:
    filled = [file for file in files if file.tokens] or files
    kinds = {(_ours(file.dtype), file.trained is not None) for file in filled}
    if len(kinds) > 1:
        raise KormoError(
            where=str(files[0].path.parent),
            found="files of different kinds: "
            + ", ".join(sorted(f"{kind} {'with' if m else 'without'} masks" for kind, m in kinds)),
            why="all shards of a source must have ids of one size, and either all or none have masks",
            do="make a separate source for each kind",
        )
    return np.dtype(kinds.pop()[0])


def _ours(dtype: np.dtype[np.integer]) -> str:
    """The dtype used to store ids of this one."""
    return LINKED.get(dtype.str, "<u2" if dtype.itemsize == 1 else "<u4")


def _shard(file: TokenFile, name: str, out: Path, dtype: np.dtype[np.integer], encoder: Encoder) -> dict[str, object]:
    files = {f"{name}{IDS}": _ids(file, out / f"{name}{IDS}", dtype, encoder)}
    if file.trained is not None:
        link(file.trained, out / f"{name}{TRAINED}")
        files[f"{name}{TRAINED}"] = FileRecord(file.tokens, file_checksum(file.trained))
    files |= _borders(file, out, name)
    trained = memory_map(file.trained, UINT8).sum(dtype=np.int64) if file.trained is not None else 0
    record = {
        "format": FORMAT,
        "name": name,
        "documents": file.documents,
        "tokens": file.tokens,
        **({"trained": int(trained)} if file.trained is not None else {}),
        "dtype": dtype.str,
        "input": file.path.name,
        "files": {key: asdict(record) for key, record in files.items()},
    }
    write_json(out / f"{name}.json", record)
    return record


def _ids(file: TokenFile, target: Path, dtype: np.dtype[np.integer], encoder: Encoder) -> FileRecord:
    """Links the ids, or copies them if their dtype is not supported.

    Raises:
        KormoError: an id is outside the tokenizer's vocabulary.
    """
    ids = memory_map(file.path, file.dtype)
    copied = HashedFile(target) if file.dtype.str not in LINKED else None
    for begin in range(0, len(ids), BLOCK):
        part = ids[begin : begin + BLOCK]
        if int(part.max()) > encoder.largest_id or int(part.min()) < 0:
            raise _another_tokenizer(
                file, encoder, f"the id {int(part.max()) if int(part.min()) >= 0 else int(part.min())}"
            )
        if copied is not None:
            copied.write(part.astype(dtype))
    if copied is not None:
        return copied.close()
    link(file.path, target)
    return FileRecord(file.path.stat().st_size, file_checksum(file.path))


def _borders(file: TokenFile, out: Path, name: str) -> dict[str, FileRecord]:
    """Writes offsets, their index and names: `FILE:1` and so on."""
    offsets = {suffix: HashedFile(out / f"{name}{suffix}") for suffix in (OFFSETS, OFFSET_INDEX)}
    offsets[OFFSETS].write(file.offsets.astype("<i8"))
    offsets[OFFSET_INDEX].write(file.offsets[: file.documents + 1 : INDEX_EVERY].astype("<i8"))
    names, ends = HashedFile(out / f"{name}{NAMES}"), HashedFile(out / f"{name}{NAME_OFFSETS}")
    ends.write(np.zeros(1, "<i8"))
    at = 0
    for begin in range(0, file.documents, BLOCK):
        block = [
            f"{file.path.name}:{number + 1}".encode() for number in range(begin, min(begin + BLOCK, file.documents))
        ]
        names.write(b"".join(block))
        stops = at + np.cumsum(np.fromiter(map(len, block), "<i8", len(block)), dtype="<i8")
        ends.write(stops)
        at = int(stops[-1])
    written = [*offsets.values(), names, ends]
    return {hashed.path.name: hashed.close() for hashed in written}


def check_sample(files: Sequence[TokenFile], tokenizer: Path, encoder: Encoder) -> None:
    """Decodes and re-encodes documents from all of the files.

    Raises:
        KormoError: too few are reproduced, so another tokenizer made them.
    """
    from tokenizers import Tokenizer

    path = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
    vocabulary = Tokenizer.from_file(str(path))
    added = np.array(sorted(vocabulary.get_added_tokens_decoder()), np.int64)
    tried = same = 0
    for file in files:
        ids = memory_map(file.path, file.dtype)
        for document in range(0, file.documents, max(1, file.documents * len(files) // SAMPLE)):
            sample = _plain(ids[file.offsets[document] : file.offsets[document + 1]][:SAMPLE_TOKENS], added)
            if len(sample) and int(sample.max()) > encoder.largest_id:
                raise _another_tokenizer(file, encoder, f"the id {int(sample.max())}")
            tried += len(sample) > 0
            same += len(sample) > 0 and _comes_back(sample, vocabulary)
    if tried and same < AGREE * tried:
        raise _another_tokenizer(
            files[0], encoder, f"only {same} of {tried} documents unchanged by decoding and encoding"
        )


def _plain(ids: NDArray[np.integer], added: NDArray[np.int64]) -> NDArray[np.integer]:
    """The longest run of ids without added tokens."""
    cuts = np.flatnonzero(np.isin(ids, added))
    runs = np.split(ids, cuts)
    longest: NDArray[np.integer] = max((run[1:] if number else run for number, run in enumerate(runs)), key=len)
    return longest


def _comes_back(ids: NDArray[np.integer], vocabulary: Any) -> bool:
    """Whether decoding and encoding reproduces the ids, except for the last few, which may end inside a word."""
    again = vocabulary.encode(vocabulary.decode(ids.tolist(), skip_special_tokens=False), add_special_tokens=False).ids
    whole = max(1, len(ids) - 4)
    return bool(again[:whole] == ids[:whole].tolist())


def _another_tokenizer(file: TokenFile, encoder: Encoder, found: str) -> KormoError:
    return KormoError(
        where=str(file.path),
        found=found,
        why=f"the tokenizer {encoder.where}, whose largest id is {encoder.largest_id:,}, did not make these tokens",
        do="use the tokenizer that made them, or correct `format` or `dtype` if they are wrong",
    )
