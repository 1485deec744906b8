"""From a recipe to the keys that Axolotl reads.

The keys of the `kormo` block (global batch, precision, tokens, architecture) are translated into Axolotl's keys here
and nowhere else. Without artifacts, placeholders are filled in, which is enough for Axolotl's own validation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.projections import AxolotlPlan
from kormo_plugins.recipe.schema.kormo_block import Precision
from kormo_plugins.training import precision, settings

if TYPE_CHECKING:
    from kormo_plugins.pipeline.built import Built

PLACEHOLDER = "artifacts/not-built-yet"
PREFERENCE_TRAINER = "kormo_plugins.posttraining.preference_trainer.PreferenceTrainer"


def accumulation_steps(global_batch: int, micro_batch: int, world_size: int) -> int:
    """Accumulation steps for a global batch of `global_batch` rows, with `micro_batch` rows on each of `world_size`
    ranks.

    Raises:
        KormoError: the global batch is not a multiple of the rows of all ranks.
    """
    per_step = micro_batch * world_size
    if global_batch % per_step:
        raise KormoError(
            where="kormo.global_batch",
            found=f"{global_batch} rows, with micro_batch_size {micro_batch} on {world_size} rank(s)",
            why=f"{global_batch} is not a multiple of {micro_batch} × {world_size} = {per_step}, and a global batch of "
            "another size would be a different run",
            do="change micro_batch_size or the number of ranks so that their product divides global_batch",
        )
    return global_batch // per_step


def row_groups(plan: AxolotlPlan, world_size: int) -> int:
    """Number of micro-batches read at the same time: of ranks, or of groups of ranks that share rows.

    Raises:
        KormoError: the ranks cannot be divided into such groups.
    """
    shared = plan.shared.devices
    if world_size > 1 and world_size % shared:
        raise KormoError(
            where=plan.where_shared,
            found=f"{shared} with {world_size} ranks",
            why="the ranks cannot be divided into groups of that size",
            do="change the group size or the number of ranks",
        )
    return max(1, world_size // shared)


def training_precision(precision: Precision) -> settings.Precision:
    """The recipe's precision as the training room's settings."""
    return settings.Precision(**precision.model_dump())


def axolotl_values(plan: AxolotlPlan, built: Built | None, world_size: int = 1) -> dict[str, object]:
    """The keys to set in Axolotl's configuration, in addition to those of the recipe.

    Args:
        plan: of the checked recipe.
        built: its artifacts, or None for placeholders.
        world_size: ranks of this job.
    Raises:
        KormoError: the ranks cannot form the global batch, or the precision is not supported.
    """
    own = training_precision(plan.precision)
    values: dict[str, object] = dict(precision.axolotl_switches(own, plan.deepspeed is not None, plan.adapters))
    if plan.deepspeed is not None:
        # The content of the file: Axolotl would look for the file in the current folder. ZeRO-3 partitions the weights
        # while
        # they are loaded, before transformers has replaced `auto`, and would keep them in float32.
        values["deepspeed"] = {**plan.deepspeed, "bf16": {"enabled": plan.precision.autocast == "bfloat16"}}
    base = built.base_model if built else None
    if base is not None or not plan.names_model:
        values["base_model"] = str(base or PLACEHOLDER)
    if built and built.tokenizer is not None and plan.goes_on:
        values["tokenizer_config"] = str(built.tokenizer)  # of the recipe's role
    if plan.global_batch is not None:
        groups = row_groups(plan, world_size)
        values["gradient_accumulation_steps"] = accumulation_steps(plan.global_batch, plan.micro_batch, groups)
    if plan.schedule is not None:
        values["lr_scheduler_kwargs"] = dict(plan.schedule)
    if not plan.measures_tokens:
        values["include_tkps"] = False  # synchronizes with the GPU; our trainer measures the speed
    if plan.data:
        rows = next(iter(built.rows.values())).path if built and built.rows else Path(PLACEHOLDER)
        values.update(
            # Axolotl requires a dataset; the plugin provides one before this is opened.
            datasets=[{"path": str(rows), "type": "completion"}],
            dataset_prepared_path=str(plan.workspace),
            max_steps=plan.steps,
            num_epochs=1,
            val_set_size=0.0,
            sample_packing=False,  # the rows are packed already
            curriculum_sampling=True,  # in the order of the mixture
            remove_unused_columns=False,  # or a ready batch would be taken apart
        )
    if plan.pairs:
        values.update(_preference_values())
    return values


def _preference_values() -> dict[str, object]:
    """Axolotl's keys of a preference run, beside those of any run over our data."""
    return {
        "trainer_cls": PREFERENCE_TRAINER,  # Axolotl hands a plugin's trainer class no model; by name it does
        "datasets": [{"path": "built/by/kormo", "type": "passthrough.default"}],  # named, never opened
        "skip_prepare_dataset": True,
    }
