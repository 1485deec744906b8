"""`torch_compile: true` compiles the layers, not the whole model.

The layers of a decoder are one piece of code, so a graph of one serves all: compiling takes the time of a layer, and
what stands around them (the loss in one pass, hooks, the search for borders of documents) breaks no graph. accelerate
would compile the whole, and its regional form makes a second model around the layers, which our forward is not in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel


def compile_layers(model: PreTrainedModel, accelerator: Accelerator) -> int:
    """Compiles each layer in place, by the backend and mode that accelerate was told, which then compiles nothing.

    Args:
        model: a bare model; one without a decoder of layers is left to accelerate.
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
