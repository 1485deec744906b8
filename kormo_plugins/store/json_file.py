"""JSON files: written atomically, and read as an object or refused with their name.

They lie beside what they describe (shards, checkpoints, artifacts) and are written last, so that the presence of one
means that the rest is complete; a half-written one would be worse than none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError, in_words, type_in_words, value_in_words
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.fingerprint import bytes_checksum, canonical_json

CHECKSUM = "checksum"
UNSEALED = 1
"""Format of records that had no checksum."""
SEALED = 2
"""Format of `run.json` and `complete.json` with a checksum; before, they named no format."""


def write_json(path: Path, value: object, *, sort_keys: bool = False) -> None:
    """Writes a JSON file, replacing an existing one.

    Raises:
        ValueError: NaN or infinity, which JSON cannot represent.
    """
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, sort_keys=sort_keys, allow_nan=False) + "\n")


def sealed(value: Mapping[str, object]) -> dict[str, object]:
    """The object with a checksum of its other keys added, for records that no manifest lists."""
    unsealed = {key: item for key, item in value.items() if key != CHECKSUM}
    return unsealed | {CHECKSUM: _seal(unsealed)}


def seal_fault(value: Mapping[str, object], *, unnamed: bool = False) -> str:
    """How an object differs from what `sealed` made; empty if it does not, or if an earlier version wrote it unsealed.

    Args:
        unnamed: whether unsealed records of this kind name no format.
    """
    if not value:
        return "it holds nothing"
    if CHECKSUM not in value:
        return "" if value.get("format", UNSEALED if unnamed else None) == UNSEALED else "it has no checksum"
    unsealed = {key: item for key, item in value.items() if key != CHECKSUM}
    return "" if _seal(unsealed) == value[CHECKSUM] else "it was changed after it was written"


def _seal(value: Mapping[str, object]) -> str:
    return bytes_checksum(canonical_json(json.loads(json.dumps(value))).encode())


def read_object(path: Path, *, missing: tuple[str, str], fix: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        missing: why the file is needed, and what to do if it does not exist.
        fix: what to do if it cannot be read.
    Raises:
        KormoError: there is no such file, or no JSON object in it.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise KormoError(where=str(path), found="no such file", why=missing[0], do=missing[1]) from None
    except (OSError, ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise KormoError(where=str(path), found=in_words(error), why="it cannot be read as JSON", do=fix) from None
    if not isinstance(value, Mapping):
        raise KormoError(where=str(path), found=value_in_words(value), why="a JSON object is needed", do=fix)
    return dict(value)


def check_shape(
    path: Path, value: Mapping[str, object], shape: Mapping[str, type | tuple[type, ...]], fix: str
) -> None:
    """Checks the types of the values in a record.

    Args:
        shape: key -> type or types; missing keys are not reported.
        fix: what to do about a value of another type.
    Raises:
        KormoError: names the first key whose value has another type.
    """
    for key, kind in shape.items():
        if key in value and not isinstance(value[key], kind):
            kinds = " or ".join(map(type_in_words, kind if isinstance(kind, tuple) else (kind,)))
            raise KormoError(
                where=f"{path}: {key}",
                found=value_in_words(value[key]),
                why=f"{kinds} was written there; the file was damaged or edited",
                do=fix,
            )
