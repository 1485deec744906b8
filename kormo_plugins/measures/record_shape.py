"""What `run.json` holds: the kind of each key's value, for whoever writes, reads or shows it."""

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
"""Key of a record -> kind of its value."""
