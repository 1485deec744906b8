"""Rules across the keys that make a training faster or smaller: float8, checkpointed layers, optimizers and engines."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.resolve import Resolved

WHOLE_MATRICES = frozenset({"muon"})
"""Optimizers whose update looks at a matrix as a whole, and that every rank is to have whole here."""


def float8_is_compiled(recipe: Resolved) -> Iterator[KormoError]:
    """Without the compiler each cast to float8 is a pass over memory of its own, and the products gain nothing."""
    if recipe.get("kormo.precision.compute") == "float8" and not recipe.get("torch_compile"):
        yield KormoError(
            where=recipe.where("kormo.precision.compute"),
            found="float8 without torch_compile",
            why="the casts to float8 pay only where they are compiled into the kernels around them",
            do="set torch_compile: true, or compute: bfloat16",
        )


def checkpointed_layers_are_checkpointed(recipe: Resolved) -> Iterator[KormoError]:
    """A number of layers that says nothing as long as checkpointing is off."""
    layers = recipe.get("kormo.checkpointed_layers")
    if layers is not None and not recipe.get("gradient_checkpointing"):
        yield KormoError(
            where=recipe.where("kormo.checkpointed_layers"),
            found=f"checkpointed_layers: {layers} without gradient_checkpointing",
            why="no layer would compute its activations twice",
            do="set gradient_checkpointing: true, or remove it",
        )


def matrices_are_whole(recipe: Resolved) -> Iterator[KormoError]:
    """ZeRO flattens parameters and deals out the pieces: such an optimizer would see no matrix."""
    optimizer = recipe.get("optimizer")
    engines = {"deepspeed": "DeepSpeed", "fsdp": "FSDP", "fsdp_config": "FSDP"}
    engine = next((name for key, name in engines.items() if recipe.get(key)), None)
    if optimizer in WHOLE_MATRICES and engine is not None:
        yield KormoError(
            where=recipe.where("optimizer"),
            found=f"optimizer: {optimizer} with {engine}",
            why="its update is made of whole matrices, and each rank would have pieces of them",
            do=f"train without {engine}, where every rank takes the whole step, or set optimizer: adamw_torch_fused",
        )
