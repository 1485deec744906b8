"""Auxiliary loss terms of a model, and how they are reported to the log.

The outputs of a training step carry `parts`: name -> 0-dimensional tensor, each weighted so that the sum over the
micro-batches and ranks of a step is the step's value. `training/telemetry/metrics.py` adds them up. `parts` is a
key of the outputs and not an attribute, since mixed precision and DDP rebuild outputs from their keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

PARTS = "parts"


def add_terms(outputs: Any, terms: Mapping[str, torch.Tensor], weights: Mapping[str, float]) -> object:
    """Adds Σ weight · term to the loss, and the terms to `parts`.

    Args:
        outputs: of a causal language model, with `loss`.
        terms: differentiable, unweighted.
        weights: of each term.
    """
    loss = outputs["loss"]
    for name, term in terms.items():
        loss = loss + weights[name] * term.to(loss.device, loss.dtype)
    outputs["loss"] = loss
    outputs[PARTS] = {name: term.detach() for name, term in terms.items()}
    return outputs
