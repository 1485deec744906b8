"""What `kormo recipe plan` predicts for the trainings of `gpu.py`, to stand beside what they reserved."""

from __future__ import annotations

import json

from gpu_model import Size
from measure import ROOT

from kormo_plugins.measures.flops import Shape
from kormo_plugins.recipe.cost.memory import GB, Setup, memory
from kormo_plugins.recipe.cost.setup import BYTES, FOREACH, MOMENTS, SMALL_MOMENTS, zero_of
from kormo_plugins.training.settings import Precision

KNOWN = frozenset({*MOMENTS, *SMALL_MOMENTS})
"""Optimizers whose states the memory model knows."""

LIGER = frozenset({"rms_norm", "swiglu", "rope", "fused_linear_cross_entropy"})


def setup(
    size: Size, precision: Precision, optimizer: str, *, one: bool, checkpointed: int | None, zero: bool
) -> Setup:
    """A training of `gpu_parts.py` in the memory model's terms.

    Args:
        one: the loss is one pass.
        checkpointed: layers whose activations are computed twice.
        zero: ZeRO-3 on one rank.
    """
    shape = Shape.of(size.config().to_dict())
    count = shape.matmul_parameters + shape.vocab_rows * shape.hidden_size + shape.norm_parameters
    config = json.loads((ROOT / "recipes/deepspeed/zero3.json").read_text(encoding="utf-8")) if zero else None
    moments = SMALL_MOMENTS.get(optimizer, MOMENTS.get(optimizer, 2) * BYTES[precision.optimizer])
    return Setup(
        shape, count, count, ranks=1, rows=size.rows, sequence_len=size.length, weight_bytes=BYTES[precision.weights],
        compute_bytes=2, master_bytes=4 if precision.master else 0, moment_bytes=moments,
        autocast=precision.weights == "float32" and not zero, zero=zero_of(config) if config else None,
        checkpointing=bool(checkpointed), checkpointed=checkpointed, dense_mask=False,
        kernels=LIGER | ({"one_pass"} if one else frozenset()), foreach_bytes=4 if optimizer in FOREACH else 0,
    )  # fmt: skip


def gigabytes(step: Setup) -> float:
    """Predicted, the CUDA context included."""
    return memory(step).total / GB
