"""Refusals before anything is built: GPUs that would sit idle, and attention that leaks across documents."""

from __future__ import annotations

from kormo_plugins.console.rank import launched_rank
from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.batches.isolation import check_dense_masks, check_isolation
from kormo_plugins.pipeline.built import say
from kormo_plugins.pipeline.estimate import build_seconds
from kormo_plugins.recipe.projections import AttentionPlan, BuildPlan

MAX_WORLD = 8


MAX_SECONDS = 600.0
"""A job of more ranks, or an estimate of more seconds, does not build while its GPUs wait."""


def refuse_long_build(plan: BuildPlan, world_size: int) -> None:
    """Stops a job that would keep many GPUs waiting for tokenization.

    Raises:
        KormoError: something is not built, and building is long or the job is large.
    """
    seconds = build_seconds(plan)
    if seconds is None or (world_size <= MAX_WORLD and seconds <= MAX_SECONDS):
        return
    reason = (
        f"{world_size} ranks would wait" if world_size > MAX_WORLD else f"it takes about {seconds / 60:,.0f} minutes"
    )
    raise KormoError(
        where=str(plan.path),
        found="data that is not built yet",
        why=f"{reason} for documents, tokenizer and shards",
        do=f"run `axolotl preprocess {plan.path}` first, on one machine",
    )


def refuse_leaking_attention(plan: AttentionPlan | None, on_gpu: bool = False) -> None:
    """Stops a recipe whose attention backend would let documents of a row see each other, or would keep them apart
    on a GPU at a price that is seldom meant.

    Raises:
        KormoError: names the key to change.
    """
    if plan is None:
        return
    check_isolation(
        plan.collator,
        plan.params,
        plan.backend,
        micro_batch=plan.micro_batch,
        context_parallel=plan.shared.devices,
        ulysses=plan.shared.ulysses,
        packing=plan.packing,
        row_length=plan.row_length,
    )
    if on_gpu:
        line = check_dense_masks(
            plan.collator,
            plan.backend,
            varlen=plan.varlen and plan.shared.devices == 1,
            compute=plan.compute,
            row_length=plan.row_length,
            micro_batch=plan.micro_batch,
        )
        if line and launched_rank() == 0:
            say(line)
