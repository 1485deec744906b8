"""The effective differences between two recipes, and their consequences.

    changed        keys of the normal form (`normal.py`) whose values differ
    set apart      changes that do not affect what is trained: names, folders, logging, what is saved and how often
    consequences   parameters, tokens by source, shares, steps, learning rate, FLOPs, memory, hours: of A and of B

Some changed keys affect only how the training is run (micro-batch, ZeRO, kernels): the loss of a step is the same for
any split of its global batch, up to rounding. Two recipes that differ in nothing else train the same model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.cost.learning_rate import landmarks
from kormo_plugins.recipe.cost.machine import Machine
from kormo_plugins.recipe.cost.plan import plan
from kormo_plugins.recipe.cost.shares import Counted, as_json, shares
from kormo_plugins.recipe.diff.normal import LENGTH, normal
from kormo_plugins.recipe.load import Recipe

APART = (
    "output_dir",
    "logging_*",
    "save_*",
    "include_tokens_per_second",
    "dataset_prepared_path",
    "hub_*",
    "*resume_from_checkpoint*",
    "wandb_*",
    "use_*board",
    "use_wandb",
    "use_mlflow",
    "mlflow_*",
    "use_comet",
    "comet_*",
    "use_trackio",
    "trackio_*",
    "use_swanlab",
    "swanlab_*",
    "profiler_*",
    "kormo.workspace",
    "kormo.samples.*",
    "kormo.export",
    "kormo.allow_changed",
    "kormo.callbacks",
    "kormo.generation",
    "kormo.generation.*",
    "kormo.data.name",
    "kormo.data.executor.*",
    "kormo.data.workers",
    "kormo.data.sources.*.license",
    "kormo.data.sources.*.written_by",
    "kormo.evaluate*",
    "kormo.monitor*",
    "kormo.report*",
    "kormo.stop_on*",
    "kormo.milestones",
)
"""Keys that affect what is written, monitored or named, but not what is trained."""

RUNS = (
    "micro_batch_size",
    "eval_batch_size",
    "deepspeed",
    "deepspeed.*",
    "fsdp*",
    "gradient_checkpointing*",
    "activation_offloading",
    "attn_implementation",
    "sdpa_*",
    "flash_*",
    "xformers_*",
    "kormo.kernels",
    "kormo.pack_pairs",
    "kormo.checkpointed_layers",
    "liger_*",
    "cut_cross_entropy",
    "torch_compile*",
    "dataloader_*",
    "ddp_*",
    "plugins",
    "tf32",
    "*_parallel_*",
)
"""Keys that affect only how the same training is run."""

Count = Callable[[Recipe], Mapping[str, Counted] | None]


@dataclass(frozen=True)
class Difference:
    """The comparison of two recipes; see the module docstring. Pairs are `[a, b]`, with None for a missing key."""

    changed: dict[str, list[object]]
    apart: dict[str, list[object]]
    consequences: dict[str, object]
    notes: tuple[str, ...]

    @property
    def trains_the_same(self) -> bool:
        """Whether both train the same model."""
        return all(_one_of(key, RUNS) for key in self.changed)

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "same_training": self.trains_the_same,
            "changed": self.changed,
            "set_apart": self.apart,
            "consequences": self.consequences,
            "notes": list(self.notes),
        }


def difference(a: Recipe, b: Recipe, machine: Machine, count: Count = lambda recipe: None) -> Difference:
    """Compares two checked recipes.

    Args:
        machine: the machine that memory and hours are computed for.
        count: returns the counts of a recipe's built sources, or None.
    """
    changed: dict[str, list[object]] = {}
    apart: dict[str, list[object]] = {}
    same_length = a.steps is not None and a.steps == b.steps
    for key, pair in _changes(normal(a), normal(b)):
        if not (same_length and key in LENGTH):
            (apart if _one_of(key, APART) else changed)[key] = pair
    consequences, notes = zip(*(_consequences(recipe, machine, count) for recipe in (a, b)), strict=True)
    reads = [part["tokens_by_source"] for part in consequences]
    if all(reads):
        for part in consequences:  # a source that a recipe does not have counts as 0 tokens
            part["tokens_by_source"] = {
                name: part["tokens_by_source"].get(name, 0) for name in {**reads[0], **reads[1]}
            }
    return Difference(changed, apart, _pairs(*consequences), tuple(dict.fromkeys((*notes[0], *notes[1]))))


def _changes(a: object, b: object, way: str = "") -> Iterator[tuple[str, list[object]]]:
    """Dotted keys whose values differ; a block that only one recipe has is a single key."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in [*a, *(key for key in b if key not in a)]:
            yield from _changes(a.get(key), b.get(key), f"{way}.{key}" if way else str(key))
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        yield way, [a, b]


def _one_of(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _consequences(recipe: Recipe, machine: Machine, count: Count) -> tuple[dict[str, object], list[str]]:
    """The consequences of one recipe; None for unknown ones, with the reason."""
    notes: list[str] = []
    try:
        cost = plan(recipe, machine).as_json()
    except KormoError as error:
        cost = _of_any_machine(recipe, machine)
        missing = "memory and hours" if cost else "size, memory and hours"
        notes.append(f"{recipe.path}: no {missing}: {error.found}: {error.why}")
    rows = recipe.block.global_batch
    tokens = None if recipe.steps is None or rows is None else recipe.steps * rows * recipe.sequence_len
    read = as_json(shares(recipe, count(recipe)), tokens)
    if recipe.data is not None and read["share_korean"] is None:
        notes.append(
            f"{recipe.path}: the shares of its sources depend on their sizes, which are known once they are built"
        )
    consequences = {
        "parameters": cost.get("parameters"),
        "trainable_parameters": cost.get("trainable_parameters"),
        "steps": recipe.steps,
        "tokens": tokens,
        **read,
        "learning_rate": landmarks(recipe),
        "flops": cost.get("flops"),
        "hours": cost.get("hours"),
        "memory_per_gpu_gb": cost.get("memory_per_gpu_gb"),
        "fits": cost.get("fits"),
    }
    return consequences, notes


def _of_any_machine(recipe: Recipe, machine: Machine) -> dict[str, object]:
    """Consequences that do not depend on the number of GPUs, for a batch that it does not divide."""
    try:
        cost = plan(recipe, replace(machine, gpus=1)).as_json()
    except KormoError:
        return {}
    return {key: cost[key] for key in ("parameters", "trainable_parameters", "flops")}


def _pairs(a: Any, b: Any) -> Any:
    """`[a, b]`; for mappings, key by key."""
    if isinstance(a, Mapping) or isinstance(b, Mapping):
        left, right = a or {}, b or {}
        return {key: _pairs(left.get(key), right.get(key)) for key in [*left, *(k for k in right if k not in left)]}
    return [a, b]
