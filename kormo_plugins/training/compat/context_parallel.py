"""The loss of rows shared by several devices (context parallelism), exact for rows of one document.

Axolotl splits each row into equal parts, one per device, in a hook before the model; with ring attention each part
attends to those before it. The labels are split there too, and the model then shifts its part of them: the last token
of each part predicts nothing, and each device divides by its own count of tokens. Here the labels are shifted before
the split, and the sum is divided by the tokens of the whole global batch:

    row      a b c d | e f g h          labels shifted, then cut      b c d e | f g h -
    device   0         1                every prediction is made once, also across parts

`mixture/batches/isolation.py` decides which rows may be shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy, pad

if TYPE_CHECKING:
    from transformers.utils.generic import ModelOutput

IGNORE = -100
"""Label of a token that is not predicted (torch's and transformers' convention)."""


def my_part(rows: torch.Tensor, rank: int, devices: int) -> torch.Tensor:
    """The part of each row on a device: int64 [rows, tokens / devices]. The number of tokens must be divisible."""
    return rows.chunk(devices, dim=1)[rank]


def shared_rows(
    model: torch.nn.Module,
    inputs: dict[str, torch.Tensor],
    num_items_in_batch: torch.Tensor | int | None,
    rank: int,
    devices: int,
) -> tuple[torch.Tensor, ModelOutput]:
    """Next-token prediction on this device's part of each row.

    Args:
        model: takes whole rows and returns the logits of this device's part (Axolotl's hook splits them).
        inputs: `input_ids`, `labels` and `position_ids` of whole rows, int64 [rows, tokens].
        num_items_in_batch: predicted tokens of the global batch, each row counted once; None: those of these rows.
        rank, devices: rank in the group that shares the rows, and its size.
    Returns:
        sum over this part's predictions, divided by `num_items_in_batch`, and the model's outputs. The sum over the
        group is the loss of the rows.
    """
    following = pad(inputs["labels"], (0, 1), value=IGNORE)[:, 1:]
    outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
    logits = outputs["logits"]
    target = my_part(following, rank, devices).to(logits.device)
    total = cross_entropy(logits.flatten(0, 1).float(), target.flatten(), ignore_index=IGNORE, reduction="sum")
    count = num_items_in_batch if num_items_in_batch is not None else (following != IGNORE).sum()
    return total / count, outputs
