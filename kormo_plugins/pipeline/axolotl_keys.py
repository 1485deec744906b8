"""From a recipe to the keys that Axolotl reads.

What a recipe says in our words (global batch, precision, tokens, architecture) is turned into Axolotl's words here
and nowhere else. Called without artifacts it fills in placeholders, which is enough for Axolotl's own validation.
"""

from __future__ import annotations

from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.artifacts.preferences import preference_values
from kormo_plugins.pipeline.built import Built
from kormo_plugins.recipe.projections import AxolotlPlan
from kormo_plugins.recipe.schema.kormo_block import Precision
from kormo_plugins.training import precision, settings

PLACEHOLDER = "artifacts/not-built-yet"


def accumulation_steps(global_batch: int, micro_batch: int, world_size: int) -> int:
    """Accumulation steps that make `global_batch` rows out of `micro_batch` rows on `world_size` ranks.

    Raises:
        KormoError: it does not divide.
    """
    per_step = micro_batch * world_size
    if global_batch % per_step:
        raise KormoError(
            where="kormo.global_batch",
            found=f"{global_batch} rows, with micro_batch_size {micro_batch} on {world_size} rank(s)",
            why=f"{global_batch} is not a multiple of {micro_batch} × {world_size} = {per_step}, and a global batch of "
            "another size would be another run",
            do="change micro_batch_size or the number of ranks so that their product divides global_batch",
        )
    return global_batch // per_step


def row_groups(plan: AxolotlPlan, world_size: int) -> int:
    """How many micro-batches are read at the same time: ranks, or groups of ranks that share their rows.

    Raises:
        KormoError: the ranks cannot be divided into such groups.
    """
    shared = plan.shared.devices
    if world_size > 1 and world_size % shared:
        raise KormoError(
            where=plan.where_shared,
            found=f"{shared} with {world_size} ranks",
            why="the ranks cannot be divided into groups of that size",
            do="change one of the two",
        )
    return max(1, world_size // shared)


def training_precision(precision: Precision) -> settings.Precision:
    """The recipe's precision in the training room's terms."""
    return settings.Precision(**precision.model_dump())


def axolotl_values(plan: AxolotlPlan, built: Built | None, world_size: int = 1) -> dict[str, object]:
    """The keys to set in Axolotl's configuration, those of the recipe itself left out.

    Args:
        plan: of the checked recipe.
        built: its artifacts, or None for placeholders.
        world_size: ranks of this job.
    Raises:
        KormoError: a global batch that the ranks cannot make, or a precision that cannot be held.
    """
    own = training_precision(plan.precision)
    values: dict[str, object] = dict(precision.axolotl_switches(own, plan.deepspeed is not None, plan.adapters))
    if plan.deepspeed is not None:
        # What its file says: Axolotl would look for the file in the current folder. ZeRO-3 partitions the weights while
        # they are loaded, before transformers has put a value in the place of `auto`, and would hold them in float32.
        values["deepspeed"] = {**plan.deepspeed, "bf16": {"enabled": plan.precision.autocast == "bfloat16"}}
    base = built.base_model if built else None
    if base is not None or not plan.names_model:
        values["base_model"] = str(base or PLACEHOLDER)
    if built and built.tokenizer is not None and plan.goes_on:
        values["tokenizer_config"] = str(built.tokenizer)  # of the recipe's role; the model's folder may be of another
    if plan.global_batch is not None:
        groups = row_groups(plan, world_size)
        values["gradient_accumulation_steps"] = accumulation_steps(plan.global_batch, plan.micro_batch, groups)
    if plan.schedule is not None:
        values["lr_scheduler_kwargs"] = dict(plan.schedule)
    if not plan.measures_tokens:
        values["include_tkps"] = False  # waits for the GPU at every micro-batch; our trainer measures the speed itself
    if plan.data:
        rows = next(iter(built.rows.values())).path if built and built.rows else Path(PLACEHOLDER)
        values.update(
            # Axolotl wants a dataset to be named; the plugin answers before it is opened.
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
        values.update(preference_values())
    return values
