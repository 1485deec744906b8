"""Llama weights in llama.cpp's form: names, order of head dimensions, block formats.

RoPE rotates the dimension pairs (i, i + k/2) of a head of size k in transformers, and (2i, 2i + 1) in llama.cpp's
architecture `llama`. So the rows of the query and key projections are permuted; no value changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.architecture.files import read_weights, weight_files
from kormo_plugins.architecture.layout import TO_LLAMA, renamed
from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from gguf import GGMLQuantizationType

NAMED_TYPES = {"torch.float32": "F32", "torch.bfloat16": "BF16", "torch.float16": "F16"}


@dataclass(frozen=True)
class Stored:
    """One tensor as stored in the file.

    Args:
        name: llama.cpp's name.
        kind: GGML type of its elements.
        data: rows of bytes, [..., bytes of a row]; of numbers if the type is F32 or F16.
    """

    name: str
    kind: GGMLQuantizationType
    data: np.ndarray


@dataclass(frozen=True)
class Heads:
    """Numbers that determine the order of rows."""

    layers: int
    query: int
    key: int


def stored_tensors(checkpoint: Path, heads: Heads, quantize: bool) -> Iterator[Stored]:
    """The tensors of a checkpoint of either layout, one weight file in memory at a time.

    Args:
        quantize: matrices as Q8_0 (blocks of 32 with one scale); otherwise in the checkpoint's own dtype.
    Raises:
        KormoError: a weight that llama.cpp's `llama` does not have.
    """
    from gguf import MODEL_ARCH, get_tensor_name_map

    names = get_tensor_name_map(MODEL_ARCH.LLAMA, heads.layers)
    for file in weight_files(checkpoint):
        weights = read_weights(file)
        if any(ours in name for name in weights for ours in TO_LLAMA):
            weights = renamed(weights, TO_LLAMA)
        for name, weight in weights.items():
            target = names.get_name(name, try_suffixes=(".weight",))
            if target is None:
                raise KormoError(
                    where=str(file),
                    found=f"the weight {name}",
                    why="llama.cpp's architecture `llama` has no such weight",
                    do="convert it with llama.cpp's own script, which knows more architectures",
                )
            yield _stored(target, reordered(name, weight, heads), quantize)


def reordered(name: str, weight: torch.Tensor, heads: Heads) -> torch.Tensor:
    """`weight` with the rows of a query or key projection, [heads x k, hidden], in llama.cpp's order."""
    number = {"q_proj": heads.query, "k_proj": heads.key}.get(name.split(".")[-2])
    if number is None:
        return weight
    rows = weight.shape[0]
    return weight.reshape(number, 2, rows // number // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _stored(name: str, weight: torch.Tensor, quantize: bool) -> Stored:
    import torch
    from gguf import GGMLQuantizationType as Kind
    from gguf import quants

    if weight.ndim == 1:  # norms: llama.cpp multiplies them in float32
        return Stored(name, Kind.F32, weight.float().numpy())
    if quantize and weight.shape[-1] % 32 == 0:
        return Stored(name, Kind.Q8_0, quants.quantize(weight.float().numpy(), Kind.Q8_0))
    kind = Kind[NAMED_TYPES[str(weight.dtype)]]
    if kind is Kind.BF16:  # numpy has no bfloat16
        return Stored(name, kind, weight.contiguous().view(torch.uint8).numpy())
    return Stored(name, kind, weight.contiguous().numpy())
