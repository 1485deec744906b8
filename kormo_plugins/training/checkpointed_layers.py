"""Gradient checkpointing of some layers: as many as memory requires, and no more.

Recomputing the activations of a layer costs a third more arithmetic. `gradient_checkpointing: true` does so for every
layer; `kormo.checkpointed_layers: n` only for the first n, whose activations would be kept longest. `kormo recipe plan`
reports how many are enough. The results do not change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def limit(model: PreTrainedModel, layers: int) -> None:
    """Restricts gradient checkpointing, which Trainer enables when training starts, to the first `layers` layers.

    Args:
        model: a bare model whose decoder has `layers` of transformers' `GradientCheckpointingLayer`.
        layers: how many layers to checkpoint; the others keep their activations.
    """
    enable: Callable[..., object] = model.gradient_checkpointing_enable
    if model.is_gradient_checkpointing:  # Axolotl's loader may have enabled it
        _release(model, layers)

    def enable_some(*args: object, **kwargs: object) -> object:
        """transformers' method, after which checkpointing of the other layers is disabled again."""
        made = enable(*args, **kwargs)
        _release(model, layers)
        return made

    model.gradient_checkpointing_enable = enable_some  # type: ignore[method-assign]


def _release(model: PreTrainedModel, layers: int) -> None:
    decoder: Any = model.get_decoder()
    for layer in list(decoder.layers)[layers:]:
        for module in layer.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = False


def counted(model: PreTrainedModel) -> int:
    """Number of layers whose activations will be recomputed."""
    decoder: Any = model.get_decoder()
    return sum(bool(getattr(layer, "gradient_checkpointing", False)) for layer in decoder.layers)
