"""Content hashes: the identity of what an artifact is built from, and checksums of files.

There are two kinds on purpose. An identity is a SHA-256 over canonical JSON (collision-resistant, on a tiny input). The
checksum of a data file is XXH3-128: an order of magnitude faster, and made to detect damage, not forgery.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import xxhash

IDENTITY_LENGTH = 12
"""Hex digits of an identity in folder names: 48 bits, ample for the artifacts of one workspace."""


def canonical_json(value: object) -> str:
    """Canonical text of a value: sorted keys, no spaces, no NaN; paths as POSIX text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no canonical JSON form")


def identity(value: object) -> str:
    """SHA-256 (hex, 64 digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_checksum(path: Path, chunk: int = 1 << 22) -> str:
    """XXH3-128 (hex, 32 digits) of a file's bytes, read in chunks of `chunk` bytes."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(chunk):
            digest.update(block)
    return digest.hexdigest()


def bytes_checksum(data: bytes | memoryview) -> str:
    """XXH3-128 (hex, 32 digits) of bytes in memory."""
    return xxhash.xxh3_128(data).hexdigest()


def tokenizer_identity(content: dict[str, Any]) -> str:
    """SHA-256 (hex, 64 digits) of everything that turns text into ids: the parsed `tokenizer.json` in canonical form.

    Truncation and padding are ignored (a caller's settings, saved by accident), and merges hash alike whether they are
    written as pairs or, as by older libraries, as one string. So do the base and chat folders of one tokenizer.
    """
    model = dict(content["model"])
    model["merges"] = [m if isinstance(m, str) else " ".join(m) for m in model.get("merges", ())]
    kept = {key: value for key, value in content.items() if key not in ("truncation", "padding", "model")}
    return identity(kept | {"model": model})
