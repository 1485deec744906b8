"""Variable-length attention with precomputed document boundaries: no GPU synchronization, no graph breaks.

Axolotl's `sdpa_varlen` routes packed rows through torch's kernel (`torch.nn.attention.varlen`), and computes document
boundaries from the positions in every layer: this synchronizes with the GPU three times per layer (is it packed, how
many documents, how long is the longest), and each synchronization breaks the graph of `torch.compile`. Here the
collator computes the boundaries once per micro-batch on the CPU (`cu_seq_lens_q`, `max_length_q`, as in transformers),
and they are passed through the model:

    q, k, v [rows, heads, length, size]  ->  [rows·length, heads, size], documents end to end  ->  the kernel

A batch without boundaries, with a mask, or on a device without the kernel uses the previous attention. If torch's
kernel supports grouped heads (`enable_gqa`), keys and values are not repeated.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kormo_plugins.errors import in_words

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BORDERS = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")
"""Keys that a collator provides: int32 [documents + 1] twice, and the length of the longest document twice."""

LARGEST_HEAD = 256
"""Maximum head size of the flash kernels."""

DEVICES = frozenset({"cuda"})
"""Device types with torch's kernel."""

WRONG = 0.02
"""Relative difference from float32 that bfloat16 rounding (0.003 to 0.006) does not explain."""

Attention = Callable[..., tuple["Tensor", object]]


def install(device: str = "cuda") -> str:
    """Wraps the attention registered as `sdpa`; returns the line to log. Idempotent.

    Args:
        device: on which the kernel is tested first.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return "attention: this torch has no variable-length kernel; document boundaries are computed in every layer"
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    if getattr(before, "knows_borders", False):
        return "attention: document boundaries come with the batch"
    for grouped in (True, False):
        fault = tried(varlen_attn, grouped, device)
        if fault is None:
            ALL_ATTENTION_FUNCTIONS.register("sdpa", in_front_of(before, varlen_attn, grouped))
            keys = "grouped" if grouped else "repeated"
            return f"attention: document boundaries come with the batch; keys and values are {keys}"
    return (
        f"attention: torch's variable-length kernel failed its test ({fault}); "
        "document boundaries are computed in every layer"
    )


def tried(kernel: Callable[..., object], grouped: bool, device: str) -> str | None:
    """Compares outputs and gradients of two documents with plain float32 attention, within bfloat16 accuracy; returns
    what is wrong with the kernel on this device, or None."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    if grouped and "enable_gqa" not in inspect.signature(kernel).parameters:
        return "it does not support grouped heads"
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(1, heads, 96, 64, generator=generator) for heads in (4, 2, 2, 4)]
    *inputs, weights = (tensor.to(device, torch.bfloat16) for tensor in made)
    kernel_inputs = [tensor.detach().requires_grad_() for tensor in inputs]
    plain = [tensor.detach().float().requires_grad_() for tensor in inputs]
    borders = torch.tensor([0, 31, 96], dtype=torch.int32, device=device)
    try:
        out = _flat(kernel, grouped)(kernel_inputs[0], kernel_inputs[1], kernel_inputs[2], borders, 65)
        (out * weights.transpose(1, 2)).sum().backward()
    except Exception as error:  # a build without this kernel for the GPU may raise anything
        return in_words(error)
    parts = []
    for begin, end in ((0, 31), (31, 96)):
        q, k, v = (tensor[:, :, begin:end] for tensor in plain)
        parts.append(scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True))
    right = torch.cat(parts, dim=2).transpose(1, 2)
    (right * weights.transpose(1, 2).float()).sum().backward()
    pairs: list[tuple[Any, Any]] = [
        (out, right.detach()),
        *((tensor.grad, other.grad) for tensor, other in zip(kernel_inputs, plain, strict=True)),
    ]
    worst = max(float((tensor.detach().float() - other).norm() / other.norm()) for tensor, other in pairs)
    return None if worst < WRONG else f"relative error {worst:.2g}"


Flat = Callable[["Tensor", "Tensor", "Tensor", "Tensor", int], "Tensor"]


def _flat(kernel: Callable[..., Any], grouped: bool) -> Flat:
    """The kernel as causal attention [rows, length, heads, size] of concatenated documents.

    Args:
        grouped: the kernel takes fewer key and value heads; otherwise these are repeated.
    """
    windowed = "window_size" in inspect.signature(kernel).parameters
    causal: dict[str, object] = {"window_size": (-1, 0)} if windowed else {"is_causal": True}
    of_groups = {**causal, "enable_gqa": True}

    def flat(query: Tensor, key: Tensor, value: Tensor, borders: Tensor, longest: int) -> Tensor:
        """Queries [rows, heads, length, size], and as many or fewer heads of keys and values; `borders` are int32
        cumulative document lengths, and `longest` is the length of the longest document."""
        rows, heads, length, size = query.shape
        fewer = key.shape[1] != heads
        if fewer and not grouped:
            key, value = (one.repeat_interleave(heads // one.shape[1], dim=1) for one in (key, value))
        q, k, v = (one.transpose(1, 2).reshape(rows * length, -1, size) for one in (query, key, value))
        more = of_groups if fewer and grouped else causal
        out: Tensor = kernel(q, k, v, borders, borders, longest, longest, **more)
        return out.reshape(rows, length, heads, size)

    return flat


def in_front_of(before: Attention, kernel: Callable[..., object], grouped: bool) -> Attention:
    """A transformers attention function that handles batches with boundaries and passes others to `before`."""
    flat = _flat(kernel, grouped)

    @functools.wraps(before)
    def attention(
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, object]:
        """transformers' attention function: the kernel if it supports the call, `before` otherwise."""
        borders = kwargs.get("cu_seq_lens_q")
        window = kwargs.get("sliding_window") or getattr(module, "sliding_window", None)
        if borders is None or attention_mask is not None or dropout or window or not _runs(query, scaling):
            return before(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
        return flat(query, key, value, borders, kwargs["max_length_q"]), None

    attention.knows_borders = True  # type: ignore[attr-defined]
    return attention


def _runs(query: Tensor, scaling: float | None) -> bool:
    """Whether the kernel supports these queries: half precision on a GPU, head size, default scale."""
    import torch

    size = query.shape[-1]
    usual = scaling is None or abs(scaling - size**-0.5) < 1e-9
    half = query.dtype in (torch.float16, torch.bfloat16)
    return query.device.type in DEVICES and half and size <= LARGEST_HEAD and usual
