"""What training reads: the mixture as a dataset, and the collator that makes batches of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.pipeline.artifacts.preferences import open_preferences
from kormo_plugins.pipeline.artifacts.tokenizers import special_ids
from kormo_plugins.pipeline.built import Built
from kormo_plugins.recipe.checks.devices.context_parallel import shared_rows
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.recipe.projections import StreamPlan
from kormo_plugins.tokenizer.layout import read_tokenizer_json

if TYPE_CHECKING:
    from kormo_plugins.mixture.dataset import MixtureDataset
    from kormo_plugins.mixture.pairs import PairDataset


def open_dataset(plan: StreamPlan, built: Built) -> MixtureDataset | PairDataset:
    """The mixture as a map-style dataset of exactly steps × global batch rows, or preference pairs."""
    return open_preferences(plan, built) if plan.pairs else open_rows(plan, built)


def open_rows(plan: StreamPlan, built: Built) -> MixtureDataset:
    """The mixture as a map-style dataset of exactly steps × global batch rows."""
    from kormo_plugins.mixture.dataset import open_mixture

    return open_mixture(
        {name: artifact.path for name, artifact in built.rows.items()},
        {name: artifact.path for name, artifact in built.shards.items()},
        plan.mixture,
        seed=plan.seed,
        row_length=plan.row_length,
        steps=plan.steps,
        global_batch=plan.global_batch,
        pad_id=special_ids(built.tokenizer, plan.role)["pad"],
        tokenizer=built.tokenizer_hash,
        plugins=plan.components,
    )


def make_collator(recipe: Recipe, built: Built) -> Callable[[object], dict[str, object]]:
    """The recipe's collator, the tokens that it names turned into ids."""
    choice, values = recipe.block.collator, dict(recipe.block.collator.values)
    if values.get("ignore_tokens"):
        values["ignore_tokens"] = token_ids(built.tokenizer, values["ignore_tokens"], recipe)
    params = recipe.registry.params("collator", choice.name, values, f"{recipe.path}: kormo.collator")
    if "sources" in getattr(type(params), "model_fields", {}):  # the trainer reports the loss of each
        params = params.model_copy(update={"sources": True})
    varlen = recipe.get("sdpa_varlen") and shared_rows(recipe.resolved).devices == 1
    if varlen and "cu_seqlens" in getattr(type(params), "model_fields", {}):  # spares each layer the search
        params = params.model_copy(update={"cu_seqlens": True})
    collate: Callable[[Any], dict[str, Any]] = recipe.registry.load("collator", choice.name)(params)
    return collate


def token_ids(tokenizer: Path | None, tokens: Iterable[int | str], recipe: Recipe) -> list[int]:
    """Replaces the names of added tokens by their ids; ids stay as they are.

    Raises:
        KormoError: the tokenizer has no added token of that name.
    """
    added = {t["content"]: int(t["id"]) for t in read_tokenizer_json(tokenizer)["added_tokens"]} if tokenizer else {}
    for token in tokens:
        if isinstance(token, str) and token not in added:
            known = [name for name in added if name.strip()]
            raise KormoError(
                where=recipe.resolved.where("kormo.collator.ignore_tokens"),
                found=repr(token),
                why="the tokenizer has no such added token, so nothing would be excluded from the loss",
                do=closest(token, known, f"use one of: {', '.join(known) or 'none'}"),
            )
    return [added[token] if isinstance(token, str) else token for token in tokens]
