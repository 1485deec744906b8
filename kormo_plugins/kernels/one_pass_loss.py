"""Output layer and cross entropy in one pass: token losses and gradients from one product with the weights.

For states x [tokens, d], output weights W [vocabulary, d] and targets y, a chunk of tokens at a time:

    z = x·Wᵀ        ℓ = logsumexp(z) − z[y]        g = softmax(z) − onehot(y)        dx = g·W        dW += gᵀ·x

The gradient of a sum of losses follows directly from the logits, so it is computed in the forward pass and the logits
are freed (Hsu et al. 2024, arXiv 2410.10989; github.com/mgmalek/efficient_cross_entropy). Differences:

* the token losses are returned besides their sum, so losses per source, row or language need no second product;
* W is cast once under autocast, not per chunk, and chunks are as large as `CHUNK_BYTES` allows, so that dW (float32) is
  read and written a few times, not dozens of times.

With `triton`, Liger's row kernel (`liger_cross_entropy_kernel`) overwrites logits with gradients in place.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from kormo_plugins.kernels import chunks

if TYPE_CHECKING:
    from torch import Tensor

IGNORE = -100
"""Target of a token that is not predicted (torch's and transformers' convention)."""

LARGEST_BLOCK = 32768
"""Block size of a Triton program in logits, as in Liger."""


def token_losses(
    states: Tensor, weight: Tensor, targets: Tensor, scale: Tensor | float, *, triton: bool = False
) -> tuple[Tensor, Tensor]:
    """The loss of a micro-batch and of each token.

    Args:
        states: [tokens, d], input of the output layer.
        weight: [vocabulary, d].
        targets: int64 [tokens]; `IGNORE` where nothing is predicted.
        scale: factor of the sum of the losses.
        triton: use Liger's kernel; otherwise torch operations, which run on any device.
    Returns:
        `scale` × the sum over tokens, float32, differentiable once; and the losses, float32 [tokens], without gradient.
    """
    kind = states.device.type
    compute = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    factor = torch.as_tensor(scale, dtype=torch.float32, device=states.device)
    with torch.autocast(kind, enabled=False):
        total, losses = _OnePass.apply(states, weight, targets, factor, compute, torch.is_grad_enabled(), triton)
    return total, losses


class _OnePass(torch.autograd.Function):
    """`forward` computes the gradients of the sum; `backward` scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        targets: Tensor,
        factor: Tensor,
        compute: torch.dtype,
        differentiate: bool,
        triton: bool,
    ) -> tuple[Tensor, Tensor]:
        """Sum of the weighted losses (a scalar) and the loss of each token [tokens], both float32; also computes the
        gradients, so that no logits are kept."""
        states_too, weight_too = (differentiate and needed for needed in ctx.needs_input_grad[:2])
        losses, of_states, of_weight = _chunks(
            states, weight.to(compute), targets, factor, states_too, weight_too, triton
        )
        ctx.gradients = (of_states, of_weight, factor if triton else None)
        ctx.weight_dtype = weight.dtype
        ctx.mark_non_differentiable(losses)
        return losses.sum() * factor, losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor, of_losses: Tensor) -> tuple[object, ...]:
        """Gradients of the states and of the weight, computed in `forward`, times that of the sum. Can be called
        once."""
        if ctx.gradients is None:
            raise RuntimeError(
                "backward was already called for this loss, which frees its gradients; compute the loss again"
            )
        of_states, of_weight, factor = ctx.gradients
        ctx.gradients = None
        by = of_total if factor is None else of_total * factor
        of_states = None if of_states is None else of_states.mul_(by)
        of_weight = None if of_weight is None else of_weight.mul_(by).to(ctx.weight_dtype)
        return of_states, of_weight, None, None, None, None, None


def _chunks(
    states: Tensor,
    weight: Tensor,
    targets: Tensor,
    factor: Tensor,
    for_states: bool,
    for_weight: bool,
    triton: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Losses [tokens], and the gradients of their sum: of the states in their dtype, of the weights in float32 (in
    torch's order of sums if the logits of all tokens are kept). Without `triton` they are multiplied by `factor`."""
    tokens, vocabulary, device = len(states), len(weight), states.device
    losses = torch.zeros(tokens, dtype=torch.float32, device=device)  # Liger skips ignored tokens
    of_states = torch.empty_like(states) if for_states else None
    size = chunks.chunk_tokens(tokens, vocabulary, weight.element_size(), device.type)
    whole = for_weight and device.type == "cpu" and tokens * vocabulary * weight.element_size() <= chunks.WHOLE_BYTES
    of_weight = torch.zeros_like(weight, dtype=torch.float32) if for_weight and not whole else None
    logits = torch.empty(tokens if whole else size, vocabulary, dtype=weight.dtype, device=device)
    for start in range(0, tokens, size):
        part = slice(start, min(start + size, tokens))
        x, target = states[part].to(weight.dtype), targets[part]
        z = torch.mm(x, weight.t(), out=logits[part] if whole else logits[: len(x)])
        if triton:
            gradient = _by_liger(z, target, losses[part], for_states or for_weight)
        else:
            gradient = _by_torch(z, target, losses[part], factor, for_states or for_weight)
        if whole and gradient is not z:
            z.copy_(gradient)
        if of_states is not None:
            of_states[part] = gradient @ weight
        if of_weight is not None:
            _add_product(of_weight, gradient.t(), x)
    if whole:
        of_weight = (logits.t() @ states.to(weight.dtype)).float()
    return losses, of_states, of_weight


def _by_torch(logits: Tensor, targets: Tensor, losses: Tensor, factor: Tensor, differentiate: bool) -> Tensor:
    """Writes the losses of a chunk; returns the gradient of `factor` × their sum by the logits, in the logits' dtype.

    Uses torch operations in the order of `cross_entropy`, so that the float32 gradient is bit-identical."""
    known = targets != IGNORE
    at = targets.clamp(min=0)[:, None]
    log_probabilities = torch.log_softmax(logits.float(), dim=1)
    losses.copy_(torch.where(known, -log_probabilities.gather(1, at)[:, 0], 0.0))
    if not differentiate:
        return logits
    gradient = logits if logits.dtype == torch.float32 else torch.empty_like(log_probabilities)
    gradient.zero_().scatter_(1, at, torch.where(known, -factor, 0.0)[:, None])
    torch.ops.aten._log_softmax_backward_data.out(gradient, log_probabilities, 1, torch.float32, out=gradient)
    return gradient.to(logits.dtype)


def _by_liger(logits: Tensor, targets: Tensor, losses: Tensor, differentiate: bool) -> Tensor:
    """As `_by_torch`, with one Triton program per token, in place, and without the factor."""
    from liger_kernel.ops.cross_entropy import liger_cross_entropy_kernel
    from triton import next_power_of_2

    liger_cross_entropy_kernel[(len(logits),)](
        X_ptr=logits,
        X_stride=logits.stride(0),
        Y_ptr=targets,
        Y_stride=targets.stride(0),
        weight_ptr=None,
        loss_ptr=losses,
        z_loss_ptr=None,
        loss_stride=losses.stride(0),
        token_accuracy_ptr=None,
        token_accuracy_stride=0,
        predicted_tokens_ptr=None,
        predicted_tokens_stride=0,
        n_cols=logits.shape[1],
        n_non_ignore=1,
        sum_non_ignore_weight=1,
        weight_sum=0.0,
        ignore_index=IGNORE,
        lse_square_scale=0.0,
        label_smoothing=0.0,
        reduction="sum",
        softcap=None,
        RETURN_Z_LOSS=False,
        RETURN_TOKEN_ACCURACY=False,
        RETURN_PREDICTED_TOKENS=False,
        HAS_WEIGHT=False,
        HAS_SOFTCAPPING=False,
        HAS_GRADIENTS=differentiate,
        BLOCK_SIZE=min(LARGEST_BLOCK, next_power_of_2(logits.shape[1])),
        num_warps=32,
    )
    return logits


def _add_product(total: Tensor, one: Tensor, other: Tensor) -> None:
    """`total` (float32) += `one` · `other`; half-precision products are accumulated in float32 if supported."""
    if one.dtype == total.dtype:
        total.addmm_(one, other)
    elif total.device.type == "cuda" and sums_in_float32(total.device, one.dtype):
        torch.addmm(total, one, other, out_dtype=torch.float32, out=total)
    else:
        total.add_(one @ other)


@functools.cache
def sums_in_float32(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch accumulates half-precision products into float32 in place, correctly, on this device; tested once
    with numbers whose sum half precision cannot represent."""
    total = torch.full((16, 16), 256.0, device=device)
    one = torch.full((16, 16), 0.0625, device=device, dtype=dtype)
    try:
        torch.addmm(total, one, one, out_dtype=torch.float32, out=total)
    except (RuntimeError, TypeError):
        return False
    return bool((total == 256.0625).all())
