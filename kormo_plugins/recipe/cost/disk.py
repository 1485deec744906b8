"""What the checkpoints of a run take on disk."""

from __future__ import annotations

from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.checked import CheckedRecipe
from kormo_plugins.recipe.cost.machine import Machine
from kormo_plugins.recipe.cost.memory import GB, Setup
from kormo_plugins.recipe.cost.model_size import model_of
from kormo_plugins.recipe.cost.setup import setup_of

DEFAULT_SAVE_TOTAL_LIMIT = 4  # Axolotl's


def checkpoint_bytes(recipe: CheckedRecipe) -> float | None:
    """Bytes on disk of the kept checkpoints, the finished model and its export; None if the size of the model is not
    known before it is built."""
    try:
        model = model_of(recipe)
        sizes = checkpoints(recipe, setup_of(recipe, model, Machine(gpu="cpu"))[0])
    except (KormoError, OSError):
        return None
    return float(GB * (sizes["rolling"] + 2 * sizes["export"]))


def checkpoints(recipe: CheckedRecipe, setup: Setup) -> dict[str, Any]:
    """Sizes on disk, in GB, over all ranks."""
    weights = setup.parameters * setup.weight_bytes
    if setup.trainable < setup.parameters:
        weights = 4.0 * setup.trainable
    state = setup.trainable * (setup.master_bytes + setup.moment_bytes)
    kept = int(recipe.get("save_total_limit", DEFAULT_SAVE_TOTAL_LIMIT))
    full = (weights + state) / GB
    return {"full": full, "kept": kept, "rolling": full * kept, "export": weights / GB}
