"""`run.json`: the identity of a run, which a resume must match.

It contains its own checksum; files of earlier versions, without a format, have none and are read unchecked.
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
"""File beside it: the resolved recipe."""
PACKAGES = ("kormo-plugins", "axolotl", "torch", "transformers", "accelerate", "deepspeed", "trl", "liger-kernel")
FIX = "restore it from a copy; without one, move the folder away and train again (an exported model stays usable)"
IDENTITY = ("tokenizer", "weights", "seed")
"""Keys that must not change during a run. Data are compared step by step (`mixture/resume.py`); users may change
everything else (learning rate, length)."""


def versions() -> dict[str, str]:
    """Versions of Python and the libraries."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = "not installed"
    return installed


def check_same_run(output_dir: Path, identity: Mapping[str, object], allowed: Collection[str]) -> None:
    """Refuses to continue in another run's folder.

    Args:
        identity: `tokenizer`, `weights` and `seed` of the run to start.
        allowed: differences that the recipe accepts (`kormo.allow_changed`).
    Raises:
        KormoError: something else differs; the message has the old and new values.
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
            why=f"the run in this folder was started with other {', '.join(changed)}, and resuming would mix two runs",
            do="set another output_dir, or remove the folder, or accept the change with "
            f"kormo.allow_changed: [{', '.join(changed)}]",
        )


def read_record(output_dir: Path) -> dict[str, Any]:
    """The folder's `run.json`; empty if there is none.

    Raises:
        KormoError: the file is damaged or has an unknown format.
    """
    path = output_dir / FILE
    if not path.is_file():
        return {}
    record = read_object(path, missing=("every run writes one", FIX), fix=FIX)
    check_shape(path, record, SHAPE, FIX)
    if fault := seal_fault(record, unnamed=True):
        raise KormoError(where=str(path), found=fault, why="it identifies the run and must not be edited", do=FIX)
    return record


def write_record(output_dir: Path, record: Mapping[str, object]) -> None:
    """Writes `run.json` with versions and its own checksum, atomically."""
    output_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**record, "versions": versions(), "format": SEALED}, ensure_ascii=False, default=str)
    value = sealed(json.loads(redact(text)))
    write_text(output_dir / FILE, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
