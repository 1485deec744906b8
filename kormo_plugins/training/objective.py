"""Training objectives: losses summed over the tokens of a global batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kormo_plugins.training.compat import upstream
from kormo_plugins.training.compat.context_parallel import shared_rows

if TYPE_CHECKING:
    import torch
    from transformers.utils.generic import ModelOutput

NEXT_TOKEN = "next_token"
"""The name of the objective below."""


def next_token(
    model: torch.nn.Module,
    inputs: dict[str, torch.Tensor],
    num_items_in_batch: torch.Tensor | int | None,
    params: object,
) -> tuple[torch.Tensor, ModelOutput]:
    """Next-token prediction: cross entropy summed over predicted tokens, divided by the global batch's number.

    The model computes the loss itself, so that a fused kernel, which never computes the logits, can be used.

    Args:
        model: a causal language model that takes `num_items_in_batch`, as all of transformers' do.
        inputs: `input_ids`, `labels`, `position_ids`, each int64 of shape [rows, tokens], and what the collator adds.
        num_items_in_batch: predicted tokens of the whole global batch over all ranks, or None for a plain mean.
    """
    if (place := upstream.shares_rows()) is not None:
        return shared_rows(model, inputs, num_items_in_batch, *place)
    extra = {} if num_items_in_batch is None else {"num_items_in_batch": num_items_in_batch}
    outputs = model(**inputs, **extra)
    return outputs["loss"], outputs
