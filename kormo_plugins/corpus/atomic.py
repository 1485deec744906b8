"""Files that are there whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Calls `write` with a temporary name beside `path`, and gives what it wrote the name `path`."""
    temporary = path.with_name(f".{path.name}.tmp")
    write(temporary)
    temporary.replace(path)


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes an `.npy` file."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)

    replace(path, write)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, its keys in order."""
    text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)
    replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """Reads what `write_json` wrote."""
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
