"""`run.json`: what a run is, so that a resume can tell whether it is still the same one.

It has a checksum of itself; one of an earlier version, which names no format, has none and is read as it stands.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError, redact
from kormo_plugins.measures.record_shape import SHAPE
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.json_file import SEALED, check_shape, read_object, seal_fault, sealed

FILE = "run.json"
RESOLVED = "recipe.yml"
"""Beside it: the recipe with everything that it extends."""
PACKAGES = ("kormo-plugins", "axolotl", "torch", "transformers", "accelerate", "deepspeed", "trl", "liger-kernel")
FIX = "restore it from a copy; without one, move the folder away and train again (an exported model stays usable)"
IDENTITY = ("tokenizer", "weights", "seed")
"""What must not change under a run. Data are compared step by step (`mixture/resume.py`); everything else (learning
rate, length) is the user's to change."""


def versions() -> dict[str, str]:
    """Versions of what computes."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def check_same_run(output_dir: Path, identity: Mapping[str, object], allowed: Collection[str]) -> None:
    """Refuses to go on with another run's folder.

    Args:
        identity: `tokenizer`, `weights` and `seed` of the run that is about to start.
        allowed: differences that the recipe accepts (`kormo.allow_changed`).
    Raises:
        KormoError: something else differs; the message says what, before and now.
    """
    before = read_record(output_dir).get("identity")
    if before is None:
        return
    changed = [key for key in IDENTITY if key not in allowed and before.get(key) != identity.get(key)]
    if changed:
        was = ", ".join(f"{key}: {before.get(key)}" for key in changed)
        now = ", ".join(f"{key}: {identity.get(key)}" for key in changed)
        raise KormoError(
            where=str(output_dir),
            found=f"a run with {was}; this recipe has {now}",
            why=f"the run in this folder was started with other {', '.join(changed)}, and going on would mix two runs",
            do="set another output_dir, or remove the folder, or accept the change with "
            f"kormo.allow_changed: [{', '.join(changed)}]",
        )


def read_record(output_dir: Path) -> dict[str, Any]:
    """The folder's `run.json`; empty if there is none.

    Raises:
        KormoError: it is damaged, or not what we write.
    """
    path = output_dir / FILE
    if not path.is_file():
        return {}
    record = read_object(path, missing=("a run has one", FIX), fix=FIX)
    check_shape(path, record, SHAPE, FIX)
    if fault := seal_fault(record, unnamed=True):
        raise KormoError(where=str(path), found=fault, why="it says what the run is, as the run wrote it", do=FIX)
    return record


def write_record(output_dir: Path, record: Mapping[str, object]) -> None:
    """Writes `run.json` with the versions of what computes and a checksum of itself, atomically."""
    output_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**record, "versions": versions(), "format": SEALED}, ensure_ascii=False, default=str)
    value = sealed(json.loads(redact(text)))
    write_text(output_dir / FILE, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
