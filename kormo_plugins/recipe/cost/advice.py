"""Proposes changes to a recipe that does not fit into memory, cheapest in speed first.

Each proposal is evaluated with the memory model: `fits` is computed, not assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from kormo_plugins.recipe.cost.memory import GB, Setup, Zero, memory

Change = tuple[dict[str, object], Callable[[Setup], Setup]]
"""Keys of the recipe with their new values, and their effect on the memory setup."""

PRECISION = {"weights": "bfloat16", "compute": "bfloat16", "master": "float32", "optimizer": "float32"}
"""The precision that DeepSpeed supports in bfloat16."""

BUCKET = 500_000_000
OVERLAPPED = 4.5
"""Elements of a bucket in the shipped DeepSpeed files, and number of buckets that overlapping needs."""


def advise(setup: Setup, micro_batch: int, capacity: float, liger: bool = True) -> Iterator[dict[str, object]]:
    """Changes that make the setup fit: each that suffices alone, otherwise the first ones combined; empty if it fits.

    Args:
        micro_batch: `micro_batch_size`.
        capacity: bytes of a device.
        liger: whether the kernel component `liger` is installed.
    Returns:
        Mappings with `set` (keys and values), `total_gb` with them, and `fits`.
    """
    if memory(setup).total <= capacity:
        return
    families = _families(setup, micro_batch, liger)
    fits = False
    for family in families:
        for keys, change in family:
            total = memory(change(setup)).total
            if total <= capacity:
                fits = True
                yield {"set": keys, "total_gb": total / GB, "fits": True}
                break
    if not fits:
        yield _together(setup, families, capacity)


def _together(setup: Setup, families: list[list[Change]], capacity: float) -> dict[str, object]:
    """Combines the families in turn, each as far as it helps, until the setup fits."""
    chosen: dict[str, object] = {}
    total = memory(setup).total
    for family in families:
        best: Change | None = None
        for change in family:
            with_it = memory(change[1](setup)).total
            if with_it < total:
                best, total = change, with_it
            if total <= capacity:
                break
        if best is not None:
            chosen, setup = {**chosen, **best[0]}, best[1](setup)
        if total <= capacity:
            break
    return {"set": chosen, "total_gb": total / GB, "fits": total <= capacity}


def _families(setup: Setup, micro_batch: int, liger: bool) -> list[list[Change]]:
    """Families of changes that save memory, cheapest first; within a family from mild to strong."""
    families: list[list[Change]] = []
    if setup.cuda:
        kernels = setup.kernels | {"rms_norm", "swiglu", "fused_linear_cross_entropy"}
        if liger and "fused_linear_cross_entropy" not in setup.kernels:
            families.append([({"kormo.kernels": [{"name": "liger"}]}, lambda s: replace(s, kernels=kernels))])
        if setup.dense_mask and setup.compute_bytes == 2:
            families.append([({"sdpa_varlen": True}, lambda s: replace(s, dense_mask=False))])
    each = setup.rows // micro_batch
    smaller = []
    while micro_batch > 1 and micro_batch % 2 == 0:
        micro_batch //= 2
        smaller.append(micro_batch)
    families.append([_rows(rows, each) for rows in smaller])
    stage = setup.zero.stage if setup.zero else 0
    if setup.cuda and setup.ranks > 1:
        families.append([_zero(setup, number, False) for number in (1, 2, 3) if number > stage])
    if not setup.checkpointing:
        layers = setup.shape.layers
        families.append([_checkpointed(number) for number in range(1, layers)] + [_checkpointed(None)])
    if setup.cuda and not (setup.zero and setup.zero.offload_param):
        families.append([_zero(setup, number, True) for number in (2, 3) if number >= stage])
    return families


def _checkpointed(layers: int | None) -> Change:
    """Recomputes the activations of some layers; None: of all."""
    keys: dict[str, object] = {"gradient_checkpointing": True}
    if layers is not None:
        keys["kormo.checkpointed_layers"] = layers
    return keys, lambda s: replace(s, checkpointing=True, checkpointed=layers)


def _rows(micro_batch: int, each: int) -> Change:
    """Smaller micro-batches; `each` is the number of texts per row."""
    return {"micro_batch_size": micro_batch}, lambda s: replace(s, rows=micro_batch * each)


def _zero(setup: Setup, stage: int, offload: bool) -> Change:
    """Uses one of the shipped DeepSpeed files, with the precision that DeepSpeed supports."""
    keys: dict[str, object] = {"deepspeed": f"recipes/deepspeed/zero{stage}{'_offload' if offload else ''}.json"}
    if setup.zero is None:
        keys["kormo.precision"] = PRECISION
    zero = Zero(stage, offload, offload and stage == 3, 4, int(OVERLAPPED * BUCKET * (1 if stage == 3 else 2)))
    held: dict[str, object] = {"autocast": False, "weight_bytes": 2, "compute_bytes": 2, "master_bytes": 4}
    return keys, lambda s: replace(s, zero=zero, **held, moment_bytes=s.moment_bytes if s.zero else 8)
