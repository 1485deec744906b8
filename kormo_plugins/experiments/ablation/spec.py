"""An ablation as a file: a base recipe, variants as diffs, seeds, a budget, and measures.

    question: Does it help that documents in a row do not see each other?
    base: ../pretrain.yml
    set: {kormo.tokens: 262144}                 # for every cell; names of YAML files are relative to this one
    variants:
      masked: {}                                # the base as it is
      causal: {kormo.collator.name: causal}
    seeds: [1, 2, 3]
    budget_minutes: 60
    measure:
      bits per byte, Korean: {metric: held_out/bits_per_byte/ko}

Each pair of variant and seed is a *cell*: a run in a folder named by the hash of everything that determines its
weights. Two cells with the same resolved recipe, in this ablation or another, share one run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from kormo_plugins import __version__
from kormo_plugins.errors import KormoError, closest
from kormo_plugins.measures.metrics_file import current_name
from kormo_plugins.plugins.choice import Strict
from kormo_plugins.plugins.registry import checked
from kormo_plugins.recipe.files.environment import expand_paths
from kormo_plugins.recipe.files.kinds import ABLATION, read_kind
from kormo_plugins.recipe.files.override import changed
from kormo_plugins.recipe.files.shipped import beside, located
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.store.fingerprint import identity

DECIDES_NOTHING = (
    "output_dir",
    "logging_steps",
    "logging_dir",
    "save_steps",
    "save_total_limit",
    "save_strategy",
    "report_to",
    "auto_resume_from_checkpoints",
)
"""Axolotl keys of output paths and intervals, which do not affect training."""


class Measure(Strict):
    """One number of a finished run."""

    metric: str = Field(description="key of the value in metrics.jsonl")
    last: int = Field(
        default=1,
        ge=1,
        description="number of last logged values that are averaged, as a loss varies from step to step",
    )
    better: Literal["lower", "higher"] = Field(default="lower", description="whether lower or higher values are better")

    @field_validator("metric")
    @classmethod
    def _current(cls, metric: str) -> str:
        return current_name(metric)


class AblationSpec(Strict):
    """The whole file."""

    question: str = Field(description="question that the ablation answers, in one sentence")
    base: Path = Field(description="recipe that every cell extends, relative to this file")
    changes: dict[str, object] = Field(
        default_factory=dict, alias="set", description="dotted recipe keys set in every cell"
    )
    variants: dict[str, dict[str, object]] = Field(
        min_length=1, description="name -> dotted recipe keys set in that variant"
    )
    baseline: str | None = Field(default=None, description="variant that the others are compared with; null: the first")
    seeds: tuple[int, ...] = Field(min_length=1, description="seeds; every variant is trained once with each")
    budget_minutes: float | None = Field(
        default=None, gt=0, description="minutes after which no further cell is started; null: no limit"
    )
    measure: dict[str, Measure] = Field(
        min_length=1, description="name in the table -> measured value, most important first"
    )
    launcher: Literal["accelerate", "torchrun"] | None = Field(
        default=None,
        description="Axolotl's launcher for each cell; null: cells are forked from one process that has imported the "
        "libraries",
    )
    launcher_args: tuple[str, ...] = Field(
        default=(), description="options passed to the launcher (--nproc_per_node=8)"
    )

    @model_validator(mode="after")
    def _sound(self) -> AblationSpec:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("a seed is given twice: the same run would count as two")
        if self.launcher_args and self.launcher is None:
            raise ValueError("launcher_args without a launcher would be ignored")
        return self

    @property
    def reference(self) -> str:
        """The variant that others are compared with."""
        return self.baseline or next(iter(self.variants))


@dataclass(frozen=True)
class Cell:
    """One variant with one seed."""

    variant: str
    seed: int
    changes: dict[str, object]
    recipe: Recipe
    hash: str

    def folder(self, runs: Path) -> Path:
        """Its output folder; the same for all cells with the same resolved recipe."""
        return runs / f"cell-{self.hash}"


def read_spec(path: Path) -> AblationSpec:
    """Reads and validates the file.

    Raises:
        KormoError: an unknown key, a value of the wrong type, or a baseline that is not a variant.
    """
    path = located(path)
    spec: AblationSpec = checked(
        AblationSpec, expand_paths(read_kind(path, ABLATION), str(path), (), ("set", "variants", "question")), str(path)
    )
    if spec.reference not in spec.variants:
        raise KormoError(
            where=f"{path}: baseline",
            found=repr(spec.baseline),
            why=f"the variants are: {', '.join(spec.variants)}",
            do=closest(spec.reference, spec.variants, "name one of them"),
        )
    return spec


def cells(path: Path, spec: AblationSpec) -> list[Cell]:
    """All cells with their loaded and validated recipes: the first variant's seeds, then the second's.

    Raises:
        KormoError: an invalid recipe; the message names the variant.
    """
    made, path = [], located(path)
    for variant, own in spec.variants.items():
        for seed in spec.seeds:
            changes = {**located_changes({**spec.changes, **own}, path.parent), "seed": seed}
            try:
                recipe = changed(beside(path.parent, str(spec.base), f"{path}: base"), changes)
            except KormoError as error:
                raise KormoError(
                    where=f"{path}: variants.{variant}: {error.where}", found=error.found, why=error.why, do=error.do
                ) from None
            made.append(Cell(variant, seed, changes, recipe, cell_hash(recipe)))
    return made


def located_changes(changes: dict[str, object], folder: Path) -> dict[str, object]:
    """The changes, with names of YAML files resolved relative to the spec file, like `base`."""

    def place(value: Any) -> object:
        """The name of a YAML file as an absolute path; other values unchanged."""
        named = isinstance(value, str) and value.endswith((".yml", ".yaml"))
        return str(beside(folder, value, str(folder))) if named else value

    return {key: place(value) for key, value in changes.items()}


def cell_hash(recipe: Recipe) -> str:
    """Hash of everything that determines a run's weights and measures: the recipe and our version."""
    values = {key: value for key, value in recipe.resolved.values.items() if key not in DECIDES_NOTHING}
    kormo = {key: value for key, value in values["kormo"].items() if key != "workspace"}
    return identity({"version": __version__, "recipe": {**values, "kormo": kormo}})[:12]
