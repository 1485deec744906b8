"""Schema of `run.json`: the type of each key's value, for its writers and readers."""

from __future__ import annotations

from types import NoneType

SHAPE: dict[str, type | tuple[type, ...]] = {
    "recipe": str,
    "overrides": dict,
    "identity": dict,
    "stage": dict,
    "artifacts": dict,
    "steps": (int, NoneType),
    "global_batch": (int, NoneType),
    "sequence_len": int,
    "data": dict,
    "amendments": list,
    "facts": dict,
    "milestones": list,
    "versions": dict,
    "format": int,
    "checksum": str,
}
"""Key of a record -> type of its value."""
