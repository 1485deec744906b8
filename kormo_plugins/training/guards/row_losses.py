"""The loss of each row of a step, recomputed when the step has stopped the run, to show which rows stand out.

The micro-batches of the step go through the model again, without gradients and with the weights as they were before
its update (DeepSpeed has already made it). Terms of a custom objective are not included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from kormo_plugins.training.telemetry.loss_by_source import LossBySource

if TYPE_CHECKING:
    import torch
    from transformers import Trainer


def per_row_loss(
    trainer: Trainer, losses: LossBySource, batches: Sequence[dict[str, torch.Tensor]]
) -> list[float] | None:
    """Mean loss of each row of the global batch, in the order of the data; called on every rank.

    Args:
        trainer: of the model.
        losses: attached to that model.
        batches: this rank's micro-batches; micro-batch m of a step is of rank m modulo the number of ranks.
    Returns:
        None if a rank failed (out of memory, no logits), or if no row has a loss: DeepSpeed has already made the
        update, and after a NaN the weights are unusable.
    """
    means: list[torch.Tensor] = []
    try:
        for batch in batches:
            inputs = trainer._prepare_inputs({key: value for key, value in batch.items() if key != "sources"})
            losses.measuring = True
            with torch.no_grad(), trainer.compute_loss_context_manager():
                sums = losses.rows(trainer.model_wrapped(**inputs), inputs["labels"])
            if sums is not None:
                means.append(sums[0] / sums[1].clamp(min=1))
    except RuntimeError:  # the error message of the guard must not be lost
        means = []
    finally:
        losses.measuring = False
    rows = [len(batch["labels"]) for batch in batches]
    whole = bool(means) and [len(mean) for mean in means] == rows and len(set(rows)) == 1
    mine = torch.stack(means) if whole else torch.zeros(len(rows), rows[0])
    sound = trainer.accelerator.reduce(torch.tensor(float(whole), device=trainer.args.device), "sum")
    gathered = trainer.accelerator.gather(mine.to(trainer.args.device, torch.float32))
    world = trainer.accelerator.num_processes
    if sound.item() != world:
        return None
    ordered = gathered.reshape(world, len(rows), rows[0]).transpose(0, 1)
    losses_of_rows = [float(mean) for mean in ordered.reshape(-1)]
    return None if all(map(math.isnan, losses_of_rows)) else losses_of_rows
