"""Rows shared by several devices (context parallelism): how a recipe requests it, and which ways are correct.

    Axolotl      key                                               what a device holds                 documents
    0.19         context_parallel_size: 2                          a part of each row, ring attention  see each other
    from 0.20    context_parallel: {size: 2, backend: ulysses}     whole rows, a part of the heads     kept apart
                 context_parallel: {size: 2, backend: ring, usp}   a part of each row, ring attention  not measured

Measured on two CPU ranks (`tests/training/test_context_parallel.py`): with Ulysses, loss and gradients of packed rows
equal those of one device up to float32 rounding (below 1e-6). If a row counts as one document, as in ring attention, a
gradient is off by up to 93% of its largest value.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.resolve import Resolved
from kormo_plugins.training.compat import variants

SIZES = ("context_parallel.size", "context_parallel_size", "sequence_parallel_degree")
ADDS_TO_ITS_LOSS = ("kormo_mtp", "kormo_moe")
INSTALL = "pip install axolotl-ringmaster"


@dataclass(frozen=True)
class SharedRows:
    """Attributes:
    key: the key of the recipe that requests it.
    devices: number of devices that share a row; 1: rows are not shared.
    ulysses: each device has whole rows and a part of the heads, so that documents stay separate.
    """

    key: str
    devices: int
    ulysses: bool


def shared_rows(recipe: Resolved) -> SharedRows:
    """How the recipe shares rows between devices."""
    key = next((key for key in SIZES if recipe.get(key) not in (None, 1)), SIZES[1])
    devices = int(recipe.get(key) or 1)
    return SharedRows(key, devices, devices > 1 and recipe.get("context_parallel.backend") == "ulysses")


def check_shared_rows(recipe: Resolved) -> Iterator[KormoError]:
    """Refuses all ways of sharing the rows of `kormo.data` that were not measured to be correct."""
    shared = shared_rows(recipe)
    if shared.devices == 1 or recipe.get("kormo.data") is None:
        return
    family = recipe.get("kormo.architecture.name")
    if family in ADDS_TO_ITS_LOSS:
        yield KormoError(
            where=recipe.where(shared.key),
            found=f"{shared.devices}, with the architecture {family}",
            why="with shared rows only the next-token loss is computed; the additional loss of this model would be "
            "lost",
            do=f"set {shared.key}: 1",
        )
    faults = _of_ulysses(recipe, shared) if variants.shares_rows_by_ulysses() else _of_a_ring(recipe, shared)
    for found, why, do in faults:
        yield KormoError(where=recipe.where(shared.key), found=found, why=why, do=do)


def _of_a_ring(recipe: Resolved, shared: SharedRows) -> Iterator[tuple[str, str, str]]:
    packing = recipe.get("kormo.data.packing.name") or "best_fit"
    if packing != "pad":
        yield (
            f"{shared.key}: {shared.devices} with the packing {packing}",
            "a row shared by several devices goes through ring attention, which does not separate documents: those in "
            "a row would attend to each other",
            f"set {shared.key}: 1, or give each document a row of its own with kormo.data.packing: {{name: pad}}; "
            "Axolotl 0.20 and later keep documents apart with context_parallel: {backend: ulysses}",
        )


def _of_ulysses(recipe: Resolved, shared: SharedRows) -> Iterator[tuple[str, str, str]]:
    ulysses = f"context_parallel: {{size: {shared.devices}, backend: ulysses}}"
    other = next((key for key in ("deepspeed", "rl") if recipe.get(key)), None)
    if other is not None:
        yield (
            f"{shared.key}: {shared.devices} with {other}: {recipe.get(other)}",
            "loss and gradients of shared rows were verified only for next-token prediction without DeepSpeed",
            f"set {shared.key}: 1, or leave {other} out (FSDP: fsdp_config)",
        )
    if not shared.ulysses:
        yield (
            f"{shared.key}: {shared.devices} with the backend {recipe.get('context_parallel.backend') or 'auto'}",
            "only Ulysses was verified to give the loss and gradients of one device for packed documents; auto may "
            "select ring attention",
            f"write {ulysses}",
        )
    heads = recipe.get("kormo.architecture.num_key_value_heads")
    if isinstance(heads, int) and heads % shared.devices:
        yield (
            f"{shared.devices} devices for {heads} key-value heads",
            "Ulysses divides the heads evenly among the devices",
            f"use a divisor of {heads}",
        )
    if importlib.util.find_spec("ringmaster") is None:
        yield (
            f"{ulysses}, and no ringmaster",
            "Axolotl shares rows by that package and does not install it",
            INSTALL,
        )
