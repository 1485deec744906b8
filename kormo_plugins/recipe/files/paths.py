"""Files that a recipe names: beside the recipe that says it, with the package (`kormo:…`), or, as Axolotl has it,
in the current folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kormo_plugins.recipe.files.folders import beside, exists, folders_of
from kormo_plugins.recipe.files.resolve import COMMAND_LINE, Resolved

NAMED_FILES = ("deepspeed",)
"""Keys of Axolotl's that name a file which travels with the recipes."""


def located(resolved: Resolved, key: str) -> Path:
    """Where the file that a key names is, as seen from the current folder; the path as written if it is nowhere."""
    value, origin = str(resolved.get(key)), resolved.origin(key)
    place = Path(value) if origin == COMMAND_LINE else beside(folders_of(Path(origin)), value, resolved.where(key))
    return place if exists(place) and place.is_file() else Path(value)


def from_here(resolved: Resolved) -> dict[str, Any]:
    """The recipe's values with every such path seen from the current folder, so that they mean the same in any file."""
    named = [key for key in NAMED_FILES if isinstance(resolved.get(key), str)]
    return {**resolved.values, **{key: str(located(resolved, key)) for key in named}}
