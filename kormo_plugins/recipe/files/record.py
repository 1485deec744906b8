"""The first lines of a recipe that `kormo` has written: the original recipe, and what was changed in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIRST_LINE = "# Written by kormo: a recipe with everything that it extends, and with the changes of the next line.\n"
RECORD = "# kormo: "


def record_of(path: Path) -> dict[str, Any] | None:
    """The origin that a file records: the original recipe and the changes (`recipe`, `set`); None if it records
    none."""
    try:
        with path.open(encoding="utf-8") as file:
            if file.readline() != FIRST_LINE:
                return None
            record: dict[str, object] = json.loads(file.readline().removeprefix(RECORD))
            return record
    except (OSError, ValueError):
        return None
