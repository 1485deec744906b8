"""Refusals before anything is built: GPUs that would sit idle, and attention that leaks across documents."""

from __future__ import annotations

from kormo_plugins.console.rank import launched_rank
from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.isolation import check_dense_masks, check_isolation
from kormo_plugins.pipeline.built import say
from kormo_plugins.pipeline.estimate import build_seconds
from kormo_plugins.recipe.checks.context_parallel import shared_rows
from kormo_plugins.recipe.load import Recipe

MAX_WORLD = 8


MAX_SECONDS = 600.0
"""A job of more ranks, or an estimate of more seconds, does not build while its GPUs wait."""


def refuse_long_build(recipe: Recipe, world_size: int) -> None:
    """Stops a job that would keep many GPUs waiting for tokenization.

    Raises:
        KormoError: something is not built, and building is long or the job is large.
    """
    seconds = build_seconds(recipe)
    if seconds is None or (world_size <= MAX_WORLD and seconds <= MAX_SECONDS):
        return
    reason = (
        f"{world_size} ranks would wait" if world_size > MAX_WORLD else f"it takes about {seconds / 60:,.0f} minutes"
    )
    raise KormoError(
        where=str(recipe.path),
        found="data that is not built yet",
        why=f"{reason} for documents, tokenizer and shards",
        do=f"run `axolotl preprocess {recipe.path}` first, on one machine",
    )


def refuse_leaking_attention(recipe: Recipe, on_gpu: bool = False) -> None:
    """Stops a recipe whose attention backend would let documents of a row see each other, or would keep them apart
    on a GPU at a price that is seldom meant.

    Raises:
        KormoError: names the key to change.
    """
    if recipe.data is None or recipe.of_pairs:
        return
    shared = shared_rows(recipe.resolved)
    choice = recipe.block.collator
    params = recipe.registry.params("collator", choice.name, choice.values)
    check_isolation(
        choice.name,
        params,
        str(recipe.get("attn_implementation", "sdpa")),
        micro_batch=int(recipe.get("micro_batch_size", 1)),
        context_parallel=shared.devices,
        ulysses=shared.ulysses,
        packing=str(recipe.data.mixture.packing["name"]),
        row_length=recipe.sequence_len,
    )
    if on_gpu:
        line = check_dense_masks(
            choice.name,
            str(recipe.get("attn_implementation", "sdpa")),
            varlen=bool(recipe.get("sdpa_varlen")) and shared.devices == 1,
            compute=recipe.block.precision.autocast,
            row_length=recipe.sequence_len,
            micro_batch=int(recipe.get("micro_batch_size", 1)),
        )
        if line and launched_rank() == 0:
            say(line)
