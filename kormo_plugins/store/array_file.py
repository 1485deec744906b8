"""Arrays in `.npy` files, without pickle: written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kormo_plugins.store.atomic import replace


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes an `.npy` file in place of what was there."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # by its name alone, numpy would give it another ending
            np.save(file, array, allow_pickle=False)

    replace(path, write)
