"""The settings and callbacks of the training room, from the recipe of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kormo_plugins.pipeline.artifacts.tokenizers import special_ids
from kormo_plugins.pipeline.axolotl_keys import training_precision
from kormo_plugins.pipeline.built import Built
from kormo_plugins.pipeline.open import open_rows
from kormo_plugins.recipe.checks.devices.deepspeed import deepspeed_config, zero_stage
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.runs.folder import run_identity
from kormo_plugins.shards.format import SHARDS_MANIFEST
from kormo_plugins.training.settings import Decay, Settings, Spike, StopOn

if TYPE_CHECKING:
    from transformers import TrainerCallback


def settings(recipe: Recipe, built: Built) -> Settings:
    """The training room's settings."""
    choice = recipe.block.objective
    return Settings(
        output_dir=recipe.output_dir,
        steps=recipe.steps if recipe.data is not None else None,
        global_batch=recipe.block.global_batch,
        sequence_len=recipe.sequence_len,
        precision=training_precision(recipe.block.precision),
        decay=Decay(**recipe.block.decay.model_dump()),
        objective=choice.name,
        objective_params=recipe.registry.params("objective", choice.name, choice.values),
        special=special_ids(built.tokenizer, recipe.block.role),
        generation=recipe.block.generation,
        record=run_identity(built, recipe.get("base_model"), recipe.seed),
        **watched(recipe, built),
        zero_stage=zero_stage(deepspeed_config(recipe.resolved)),
        milestone_tokens=recipe.block.milestones,
        pack_pairs=recipe.block.pack_pairs,
        varlen=bool(recipe.get("sdpa_varlen")) and training_precision(recipe.block.precision).autocast == "bfloat16",
        optimizer=str(recipe.get("optimizer")) if recipe.get("optimizer") else None,
        checkpointed_layers=recipe.block.checkpointed_layers,
    )


def watched(recipe: Recipe, built: Built) -> dict[str, Any]:
    """What the trainer needs to report the data of a step, and to decide when to stop."""
    stop_on = recipe.block.stop_on
    spike = Spike(**stop_on.spike.model_dump()) if stop_on.spike else None
    known: dict[str, object] = {"stop_on": StopOn(stop_on.nan, spike)}
    if recipe.data is None or recipe.of_pairs:
        return known
    from kormo_plugins.mixture.report import batch

    names = tuple(sorted(built.rows))  # in the order of `MixtureDataset.names`, which the column `sources` indexes
    known |= {"sources": names, "languages": tuple(_language(recipe, built, name) for name in names)}
    return {**known, "batch": lambda step: batch(open_rows(recipe.stream_plan(), built), step)}


def _language(recipe: Recipe, built: Built, source: str) -> str:
    """The BCP 47 code of a source: as declared, else that of all its documents if they agree, else `mul`."""
    assert recipe.data is not None
    declared = recipe.data.corpus.sources[source].language
    if declared != "und":
        return declared
    manifest = json.loads((built.shards[source].path / SHARDS_MANIFEST).read_text(encoding="utf-8"))
    languages = list(manifest["languages"])
    return str(languages[0]) if len(languages) == 1 else "mul"


def callbacks(recipe: Recipe) -> list[TrainerCallback]:
    """`metrics.jsonl` and the callbacks that the recipe names."""
    from kormo_plugins.training.telemetry.metrics import MetricsFile

    made: list[TrainerCallback] = [MetricsFile(recipe.output_dir)]
    for choice in recipe.block.callbacks:
        params = recipe.registry.params("run_callback", choice.name, choice.values)
        made.append(recipe.registry.load("run_callback", choice.name)(params))
    return made
