"""The precision of a recipe: translated to Axolotl's keys, and compared with the actual tensors.

Axolotl's defaults depend on the origin of the weights: `bf16: true` trains fp32 weights when they are newly initialized
and bf16 weights when they are loaded; embeddings are upcast; DeepSpeed always keeps fp32 masters; and an unset `bf16`
becomes fp16 without a GPU. Therefore every stage names four dtypes, and the tensors are checked after the first
optimizer step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    import torch

NAMES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Precision:
    """Dtype names of one stage; see `recipe.schema.Precision`."""

    weights: str
    compute: str
    master: str | None
    optimizer: str

    @property
    def autocast(self) -> str:
        """The autocast dtype: that of everything except float8 matrix products of the layers."""
        return "bfloat16" if self.compute == "float8" else self.compute


def torch_dtype(name: str) -> torch.dtype:
    """`float32` -> `torch.float32`."""
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def axolotl_switches(precision: Precision, deepspeed: bool, adapters: bool = False) -> dict[str, object]:
    """Axolotl's keys for a precision.

    Args:
        deepspeed: whether DeepSpeed holds the weights.
        adapters: whether only adapters are trained: PEFT keeps them in float32, whatever the weights are in.
    Raises:
        KormoError: an unsupported combination.
    """
    p = precision
    if p.compute == "float8" and (deepspeed or adapters):
        raise KormoError(
            where="kormo.precision.compute",
            found=f"float8 with {'DeepSpeed' if deepspeed else 'an adapter'}",
            why="torchao converts whole, trained matrices; other cases are not verified",
            do="set compute: bfloat16, or train all weights without DeepSpeed",
        )
    if p.weights == "bfloat16" and p.compute == "float32":
        raise KormoError(
            where="kormo.precision",
            found="weights bfloat16 with compute float32",
            why="products of bfloat16 weights are computed in bfloat16",
            do="set compute: bfloat16",
        )
    if deepspeed:
        if p.compute == "bfloat16" and (p.weights, p.master, p.optimizer) != ("bfloat16", "float32", "float32"):
            raise KormoError(
                where="kormo.precision",
                found=f"weights {p.weights}, master {p.master}, optimizer {p.optimizer}",
                why="DeepSpeed in bfloat16 holds bfloat16 weights with float32 master weights and moments",
                do="set weights: bfloat16, compute: bfloat16, master: float32, optimizer: float32",
            )
        if p.compute == "float32" and p.master is not None:
            raise KormoError(
                where="kormo.precision",
                found=f"master {p.master} with compute float32",
                why="float32 weights need no master copy",
                do="set master: null",
            )
    else:
        if p.master is not None and (adapters or (p.weights, p.master) != ("bfloat16", "float32")):
            raise KormoError(
                where="kormo.precision",
                found=f"master {p.master} with weights {p.weights}" + (" and an adapter" if adapters else ""),
                why="master weights are float32 copies of bfloat16 weights; adapters are float32 already",
                do="set master: null" if adapters else "set weights: bfloat16, master: float32, or master: null",
            )
        held = p.master or p.weights
        if p.optimizer != held and not adapters:
            raise KormoError(
                where="kormo.precision",
                found=f"optimizer {p.optimizer} with {'master' if p.master else 'weights'} {held}",
                why="torch's AdamW keeps its moments in the dtype of what it updates",
                do=f"set optimizer: {held}",
            )
    return {"bf16": p.autocast == "bfloat16", "fp16": False, "tf32": False}


def cast_weights(model: torch.nn.Module, precision: Precision) -> int:
    """Casts floating-point parameters to the recipe's dtype; returns how many tensors had another.

    Axolotl upcasts embeddings, lm_head and norms of a bf16 model after loading it; from bf16 and back is exact.
    Parameters partitioned by ZeRO-3 are not changed: their dtype is set by DeepSpeed's configuration.
    """
    dtype = torch_dtype(precision.weights)
    changed = 0
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.dtype != dtype and not hasattr(parameter, "ds_tensor"):
            parameter.data = parameter.data.to(dtype)
            changed += 1
    return changed


def observe(model: torch.nn.Module, optimizer: object) -> dict[str, Counter[str]]:
    """Counts of the actual dtypes in training: `weights`, `master` (DeepSpeed's or ours), `optimizer`."""
    inner = optimizer
    while hasattr(inner, "optimizer") and inner.optimizer is not inner:
        masters = _masters(inner)
        if masters is not None:
            return {
                "weights": _dtypes(model.parameters()),
                "master": masters,
                "optimizer": _moments(inner.optimizer),
            }
        inner = inner.optimizer
    masters = _dtypes(getattr(inner, "master_weights", ()))
    return {"weights": _dtypes(model.parameters()), "master": masters, "optimizer": _moments(inner)}


def _masters(optimizer: object) -> Counter[str] | None:
    """DeepSpeed's partitions of master weights: ZeRO-1/2, ZeRO-3 and ZeRO-1 in bfloat16 name them differently."""
    for name in ("single_partition_of_fp32_groups", "fp32_partitioned_groups_flat", "fp32_groups_flat_partition"):
        if hasattr(optimizer, name):
            return _dtypes(getattr(optimizer, name))
    return None


def _moments(optimizer: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    for state in optimizer.state.values():
        for key in ("exp_avg", "exp_avg_sq", "state1", "state2", "momentum_buffer"):
            if key in state and state[key].is_floating_point():  # 8-bit states are not floating point
                counts[str(state[key].dtype).removeprefix("torch.")] += 1
    return counts


def _dtypes(tensors: Iterable[torch.Tensor]) -> Counter[str]:
    held = (getattr(tensor, "ds_tensor", tensor) for tensor in tensors)  # under ZeRO-3 a parameter is a placeholder
    return Counter(str(t.dtype).removeprefix("torch.") for t in held if t.is_floating_point())


def check(precision: Precision, seen: dict[str, Counter[str]]) -> None:
    """Compares the observed dtypes with the recipe.

    Raises:
        KormoError: some tensor has another dtype.
    """
    # DeepSpeed in float32 also calls its float32 partitions masters: not a second precision.
    master = precision.master or (precision.weights if seen["master"] else None)
    for key, wanted in (("weights", precision.weights), ("master", master), ("optimizer", precision.optimizer)):
        dtypes = set(seen[key])
        missing = key == "master" and precision.master is not None and not dtypes
        if wanted is not None and (missing or dtypes - {wanted}):
            raise KormoError(
                where=f"kormo.precision.{key}",
                found=f"{wanted} in the recipe, {dict(seen[key])} (dtype: tensors) in the running trainer",
                why="the run would not have the precision that the recipe states",
                do="set the precision that is used here, or remove what changes it (deepspeed, optimizer, adapter)",
            )
