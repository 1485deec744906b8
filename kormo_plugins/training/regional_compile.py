"""`torch_compile: true` compiles the layers, not the whole model.

All layers of a decoder share their code, so one graph serves all: only one layer is compiled, and code outside the
layers (the one-pass loss, hooks, the search for document boundaries) causes no graph breaks. accelerate would compile
the whole model, and its regional compilation creates a second model around the layers, without our forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel


def compile_layers(model: PreTrainedModel, accelerator: Accelerator) -> int:
    """Compiles each layer in place, with accelerate's backend and mode, and disables accelerate's own compilation.

    Args:
        model: a bare model; one without decoder layers is left to accelerate.
        accelerator: of the trainer, before it prepares the model.
    Returns:
        The number of layers.
    """
    from accelerate.utils import DynamoBackend

    plugin = accelerator.state.dynamo_plugin
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    layers = getattr(decoder, "layers", None)
    if plugin.backend == DynamoBackend.NO or not isinstance(layers, nn.ModuleList):
        return 0
    backend, mode = plugin.backend.value.lower(), plugin.mode
    for layer in layers:
        layer.compile(backend=backend, mode=None if mode == "default" else mode)
    plugin.backend = DynamoBackend.NO
    return len(layers)
