"""Gradient checkpointing of some layers: as many as the memory asks for, and no more.

A layer whose activations are not kept costs a third of its arithmetic once more. `gradient_checkpointing: true` does so
to every layer; with `kormo.checkpointed_layers: n` it is the first n, whose activations would have to wait longest.
Which n is enough, `kormo recipe plan` says. What is computed does not change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def limit(model: PreTrainedModel, layers: int) -> None:
    """Makes the model's switch for checkpointing (Trainer's, when training begins) one of the first `layers` alone.

    Args:
        model: a bare model whose decoder has `layers` of transformers' `GradientCheckpointingLayer`.
        layers: how many; the others keep their activations.
    """
    enable: Callable[..., object] = model.gradient_checkpointing_enable
    if model.is_gradient_checkpointing:  # Axolotl's loader may have switched it on
        _release(model, layers)

    def enable_some(*args: object, **kwargs: object) -> object:
        """transformers' own method, after which the layers that need no checkpointing are released again."""
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
    """Layers whose activations will be computed twice."""
    decoder: Any = model.get_decoder()
    return sum(bool(getattr(layer, "gradient_checkpointing", False)) for layer in decoder.layers)
