"""`precision: {compute: float8}`: matrix products of the layers in float8, by torchao; the rest as in bfloat16.

Each matrix of a layer becomes torchao's `Float8Linear`: inputs and weights are rounded to e4m3, gradients of outputs to
e5m2, with dynamic scales per tensor, and products are accumulated in float32 (Micikevicius et al. 2022, arXiv
2209.05433; torchao's recipe `tensorwise`). Weights keep their dtype, names and moments, so checkpoints, resume and
export are as in bfloat16. Embeddings, norms, attention, routers of experts and the output layer are not changed.

The casts only pay off if `torch.compile` fuses them into adjacent kernels, so it requires `torch_compile: true`
(`recipe/checks/rules.py`), and a GPU with float8 products.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    from torch import nn

MULTIPLE = 16
"""The sides of a matrix must be multiples of this."""

ROUTERS = frozenset({"gate", "router"})
"""Names of routers; with rounding, their choices would flip between steps."""

CAPABILITY = (8, 9)
"""Minimum compute capability for float8 products."""


def refuse_without_float8() -> None:
    """Checks for torchao and a GPU with float8 products.

    Raises:
        KormoError: one of them is missing.
    """
    import torch

    problem = None
    if importlib.util.find_spec("torchao") is None:
        problem, do = "torchao is not installed", "pip install torchao"
    elif not torch.cuda.is_available():
        problem, do = "no GPU", "train on one, or set compute: bfloat16"
    elif torch.cuda.get_device_capability() < CAPABILITY:
        name, (major, minor) = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        problem, do = f"{name}, compute capability {major}.{minor}", "set compute: bfloat16"
    if problem is not None:
        raise KormoError(
            where="kormo.precision.compute",
            found=f"float8 on a machine with: {problem}",
            why="products in float8 are torchao's, on a GPU of compute capability 8.9 (Ada, Hopper) or newer",
            do=do,
        )


def convert(model: object, *, emulate: bool = False) -> int:
    """Replaces the matrices of a model's layers by torchao's, in place; the parameters remain the same objects.

    Args:
        model: a bare model whose decoder has `layers`.
        emulate: round to float8 but multiply in higher precision, on any device.
    Returns:
        Number of converted matrices.
    Raises:
        KormoError: no matrix can be converted.
    """
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    decoder: object = model.get_decoder() if hasattr(model, "get_decoder") else model
    layers = getattr(decoder, "layers", None)
    count = 0

    def wanted(module: nn.Module, name: str) -> bool:
        """Whether to convert a module: its sides are multiples of 16, and it is not a router."""
        nonlocal count
        chosen = _fits(module) and not ROUTERS & set(name.split("."))
        count += chosen
        return chosen

    config = Float8LinearConfig(emulate=emulate)
    if layers is not None:
        convert_to_float8_training(layers, config=config, module_filter_fn=wanted)
    if not count:
        raise KormoError(
            where="kormo.precision.compute",
            found=f"float8, and no matrix in the layers has sides that are multiples of {MULTIPLE}",
            why="the run would not have the precision that the recipe states",
            do="set compute: bfloat16, or choose other sizes",
        )
    return count


def _fits(module: nn.Module) -> bool:
    from torch import nn

    if type(module) is not nn.Linear:
        return False
    return module.in_features % MULTIPLE == 0 and module.out_features % MULTIPLE == 0
