"""`precision: {compute: float8}`: the products of the layers in float8, by torchao; everything else as in bfloat16.

Each matrix of a layer becomes torchao's `Float8Linear`: inputs and weights are rounded to e4m3, gradients of outputs to
e5m2, each with a scale of its own taken anew each time, and products are summed in float32 (Micikevicius et al. 2022,
arXiv 2209.05433; torchao's recipe `tensorwise`). Weights keep their dtype, their names and their moments, so a
checkpoint, a resume and an export are those of a run in bfloat16. Embeddings, norms, attention, routers of experts and
the output layer stay as they are.

The casts pay only where `torch.compile` puts them into the kernels around them, so `torch_compile: true` belongs to it
(`recipe/checks/rules.py`), and only on a GPU that multiplies float8.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    from torch import nn

MULTIPLE = 16
"""Sides of a matrix that the products take."""

ROUTERS = frozenset({"gate", "router"})
"""Names of matrices that choose experts; rounded, their choices flip from step to step."""

CAPABILITY = (8, 9)
"""Compute capability from which a GPU multiplies float8."""


def refuse_without_float8() -> None:
    """Looks for torchao and for a GPU that multiplies float8.

    Raises:
        KormoError: one of them is not here.
    """
    import torch

    found = None
    if importlib.util.find_spec("torchao") is None:
        found, do = "torchao is not installed", "pip install torchao"
    elif not torch.cuda.is_available():
        found, do = "no GPU", "train on one, or set compute: bfloat16"
    elif torch.cuda.get_device_capability() < CAPABILITY:
        name, (major, minor) = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        found, do = f"{name}, compute capability {major}.{minor}", "set compute: bfloat16"
    if found is not None:
        raise KormoError(
            where="kormo.precision.compute",
            found=f"float8 on a machine with: {found}",
            why="products in float8 are torchao's, on a GPU of compute capability 8.9 (Ada, Hopper) or newer",
            do=do,
        )


def convert(model: object, *, emulate: bool = False) -> int:
    """Puts torchao's matrices into the layers of a model, in place; the parameters stay the same objects.

    Args:
        model: a bare model whose decoder has `layers`.
        emulate: rounds to float8 and multiplies in higher precision, on any device.
    Returns:
        How many matrices were converted.
    Raises:
        KormoError: there is none that could be.
    """
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    decoder: object = model.get_decoder() if hasattr(model, "get_decoder") else model
    layers = getattr(decoder, "layers", None)
    count = 0

    def wanted(module: nn.Module, name: str) -> bool:
        """Whether a module becomes float8: its sides are multiples of 16, and it is no router."""
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
            found=f"float8, and no matrix in the layers whose sides are multiples of {MULTIPLE}",
            why="the run would not have the precision that the recipe states",
            do="set compute: bfloat16, or choose other sizes",
        )
    return count


def _fits(module: nn.Module) -> bool:
    from torch import nn

    if type(module) is not nn.Linear:
        return False
    return module.in_features % MULTIPLE == 0 and module.out_features % MULTIPLE == 0
