"""Files that a recipe names: beside the recipe that names them, in the package (`kormo:…`), or, as in Axolotl, in the
current folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kormo_plugins.recipe.files.folders import beside, exists, folders_of
from kormo_plugins.recipe.files.resolve import COMMAND_LINE, Resolved

NAMED_FILES = ("deepspeed",)
"""Axolotl keys that name a file kept with the recipes."""


def located(resolved: Resolved, key: str) -> Path:
    """The file that a key names, relative to the current folder; the path as written if it does not exist."""
    value, origin = str(resolved.get(key)), resolved.origin(key)
    place = Path(value) if origin == COMMAND_LINE else beside(folders_of(Path(origin)), value, resolved.where(key))
    return place if exists(place) and place.is_file() else Path(value)


def from_here(resolved: Resolved) -> dict[str, Any]:
    """The recipe's values with all such paths relative to the current folder, so that they are valid in any file."""
    named = [key for key in NAMED_FILES if isinstance(resolved.get(key), str)]
    return {**resolved.values, **{key: str(located(resolved, key)) for key in named}}
