"""Clipping by the norm without a pass that writes the gradients.

`clip_grad_norm_` reads every gradient for the norm, then reads and writes it once more to scale it. torch's fused Adam
and AdamW divide gradients by `grad_scale` while they read them (meant for the loss scale of float16), so the inverse of
the coefficient is given to the step, and the second pass is gone. Where the norm is below the bound the scale is
exactly 1, which changes no bit; else `g / s` in place of `g · (1 / s)` differs by rounding, 2e-7 of a float32
gradient.

Until the step, gradients are unclipped: a callback in `on_pre_optimizer_step` sees them so. Other optimizers,
DeepSpeed, sharded parameters and float16's own loss scale keep the pass.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

EPSILON = 1e-6
"""Added to the norm, as `torch.nn.utils.clip_grad_norm_` does."""


def fusable(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its step divides gradients by `grad_scale`: torch's own Adam or AdamW with `fused=True`, on a CPU or a
    CUDA device, over whole parameters."""
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return False
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    whole = all(p.device.type in ("cpu", "cuda") and not hasattr(p, "device_mesh") for p in parameters)
    return whole and all(group.get("fused") for group in optimizer.param_groups)


class FusedClipping:
    """Gives an optimizer the scale of its next step.

    Args:
        optimizer: one that is `fusable`.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        optimizer.register_step_post_hook(lambda *args: self._forget())

    def clip(self, parameters: Iterable[Tensor], bound: float) -> Tensor:
        """Lets the next step clip to `bound`; returns the norm before clipping, float32 (a scalar)."""
        total = total_norm(parameters)
        scale = ((total.float() + EPSILON) / bound).clamp(min=1.0)  # NaN stays NaN, as in clip_grad_norm_
        self.optimizer.grad_scale = scale  # type: ignore[attr-defined]
        return total

    def _forget(self) -> None:
        self.optimizer.grad_scale = None  # type: ignore[attr-defined]


def total_norm(parameters: Iterable[Tensor]) -> Tensor:
    """The norm of all gradients as one vector; reads each once and writes none."""
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
