"""Rules across the keys that make a training faster or smaller: float8, checkpointed layers, optimizers and engines."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.resolve import Resolved

WHOLE_MATRICES = frozenset({"muon"})
"""Optimizers whose update needs whole matrices, which every rank must therefore hold."""


def float8_is_compiled(recipe: Resolved) -> Iterator[KormoError]:
    """Without the compiler, each cast to float8 is a separate pass over memory, and float8 gains nothing."""
    if recipe.get("kormo.precision.compute") == "float8" and not recipe.get("torch_compile"):
        yield KormoError(
            where=recipe.where("kormo.precision.compute"),
            found="float8 without torch_compile",
            why="casts to float8 save time only if they are compiled into the surrounding kernels",
            do="set torch_compile: true, or compute: bfloat16",
        )


def checkpointed_layers_are_checkpointed(recipe: Resolved) -> Iterator[KormoError]:
    """A number of layers has no effect while checkpointing is off."""
    layers = recipe.get("kormo.checkpointed_layers")
    if layers is not None and not recipe.get("gradient_checkpointing"):
        yield KormoError(
            where=recipe.where("kormo.checkpointed_layers"),
            found=f"checkpointed_layers: {layers} without gradient_checkpointing",
            why="without it no activations are recomputed, and the key would be ignored",
            do="set gradient_checkpointing: true, or remove it",
        )


def matrices_are_whole(recipe: Resolved) -> Iterator[KormoError]:
    """ZeRO flattens and partitions parameters: such an optimizer would see no matrix."""
    optimizer = recipe.get("optimizer")
    engines = {"deepspeed": "DeepSpeed", "fsdp": "FSDP", "fsdp_config": "FSDP"}
    engine = next((name for key, name in engines.items() if recipe.get(key)), None)
    if optimizer in WHOLE_MATRICES and engine is not None:
        yield KormoError(
            where=recipe.where("optimizer"),
            found=f"optimizer: {optimizer} with {engine}",
            why="its update needs whole matrices, and each rank would hold only parts of them",
            do=f"train without {engine}, so that every rank updates all weights, or set optimizer: adamw_torch_fused",
        )
