"""A ladder as a file: one recipe, sizes from small to large, and the fitted metric.

    question: How does the loss fall with size and tokens?
    base: ../ablations/bases/short.yml
    set: {kormo.tokens: 163840}               # in every run; names of YAML files are relative to this one
    sizes:                                    # smallest first
      0.3M: {architecture: {hidden_size: 32, …}, set: {learning_rate: 6.0e-3}}
      …
    predict: 1                                # the last so many are predicted before they are trained
    synthetic:                                # optional: shares of synthetic tokens, and the dotted keys that make them
      - {share: 0.0}
      - {share: 0.5, set: {kormo.data.mixture.weights: {human: 1, synthetic: 1}}}
    seeds: [1]
    metric: held_out/bits_per_byte

A point is one evaluation. If the learning rate is constant after warmup, a run stopped at any evaluation equals a run
of that many tokens, so all evaluations are points (Hu et al. 2024, arXiv 2404.06395); with a decaying schedule, only
the last one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from kormo_plugins.errors import KormoError
from kormo_plugins.experiments.ablation.spec import Cell, cell_hash, located_changes
from kormo_plugins.plugins.choice import Strict
from kormo_plugins.plugins.registry import checked
from kormo_plugins.recipe.cost.model_size import model_of
from kormo_plugins.recipe.files.kinds import LADDER, read_kind
from kormo_plugins.recipe.files.override import changed
from kormo_plugins.recipe.files.shipped import beside, located
from kormo_plugins.recipe.load import Recipe

LEAST = 4
FLAT = ("constant", "constant_with_warmup")


class Size(Strict):
    """One rung."""

    architecture: dict[str, object] = Field(description="keys of kormo.architecture that define this size")
    changes: dict[str, object] = Field(
        default_factory=dict, alias="set", description="other dotted recipe keys set for this size"
    )


class Share(Strict):
    """One share of synthetic text."""

    share: float = Field(ge=0, le=1, description="share of synthetic tokens in the training data")
    changes: dict[str, object] = Field(
        default_factory=dict, alias="set", description="dotted recipe keys that produce this share"
    )


class LadderSpec(Strict):
    """The whole file."""

    question: str = Field(description="question that the ladder answers, in one sentence")
    base: Path = Field(description="recipe that every run extends, relative to this file")
    changes: dict[str, object] = Field(
        default_factory=dict, alias="set", description="dotted recipe keys set in every run"
    )
    sizes: dict[str, Size] = Field(min_length=LEAST + 1, description="name -> size, smallest first")
    predict: int = Field(default=1, ge=1, description="number of last sizes that are predicted before they are trained")
    synthetic: tuple[Share, ...] = Field(
        default=(Share(share=0.0),),
        min_length=1,
        description="shares of synthetic tokens; every size is trained with each",
    )
    seeds: tuple[int, ...] = Field(
        default=(1,), min_length=1, description="seeds; every size is trained once with each"
    )
    metric: str = Field(description="key in metrics.jsonl of the loss that is fitted; lower is better")
    points: Literal["all", "last"] = Field(default="all", description="evaluations of a run to which the law is fitted")
    skip_tokens: int = Field(default=0, ge=0, description="evaluations before this many tokens are ignored (warm-up)")
    budget_minutes: float | None = Field(
        default=None, gt=0, description="minutes after which no further run is started; null: no limit"
    )
    launcher: Literal["accelerate", "torchrun"] | None = Field(
        default=None,
        description="Axolotl's launcher for each run; null: runs are forked from one process that has imported the "
        "libraries",
    )
    launcher_args: tuple[str, ...] = Field(
        default=(), description="options passed to the launcher (--nproc_per_node=8)"
    )

    @model_validator(mode="after")
    def _sound(self) -> LadderSpec:
        if len(self.sizes) - self.predict < LEAST:
            raise ValueError(f"at least {LEAST} sizes are fitted, so predict at most {len(self.sizes) - LEAST}")
        if len({each.share for each in self.synthetic}) != len(self.synthetic):
            raise ValueError("a share of synthetic tokens is given twice")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("a seed is given twice: the same run would count as two")
        if self.launcher_args and self.launcher is None:
            raise ValueError("launcher_args without a launcher would be ignored")
        return self


@dataclass(frozen=True)
class Rung:
    """One run of the ladder.

    Args:
        size: its name.
        synthetic: share of synthetic tokens.
        parameters: of the model, embeddings included, as in Chinchilla's approach 3.
        target: whether it is predicted before it is trained.
    """

    size: str
    synthetic: float
    parameters: int
    target: bool
    cell: Cell


def read_spec(path: Path) -> LadderSpec:
    """Reads and validates the file.

    Raises:
        KormoError: an unknown key, a value of the wrong type, or too few sizes.
    """
    path = located(path)
    spec: LadderSpec = checked(LadderSpec, read_kind(path, LADDER), str(path))
    return spec


def rungs(path: Path, spec: LadderSpec) -> list[Rung]:
    """All runs with their loaded and validated recipes, smallest first; the predicted ones come last.

    Raises:
        KormoError: an invalid recipe, sizes that do not grow, or evaluations that cannot be points.
    """
    made, path = [], located(path)
    fitted = list(spec.sizes)[: -spec.predict]
    for name, size in spec.sizes.items():
        shape = {f"kormo.architecture.{key}": value for key, value in size.architecture.items()}
        for share, own in ((each.share, each.changes) for each in spec.synthetic):
            for seed in spec.seeds:
                given = located_changes({**spec.changes, **shape, **size.changes, **own}, path.parent)
                changes = {**given, "seed": seed}
                try:
                    recipe = changed(beside(path.parent, str(spec.base), f"{path}: base"), changes)
                    parameters = model_of(recipe).parameters
                except KormoError as error:
                    raise KormoError(
                        where=f"{path}: sizes.{name}: {error.where}", found=error.found, why=error.why, do=error.do
                    ) from None
                _check_points(path, spec, recipe)
                title = name if len(spec.synthetic) == 1 else f"{name}, {share:.0%} synthetic"
                cell = Cell(title, seed, changes, recipe, cell_hash(recipe))
                made.append(Rung(name, share, parameters, name not in fitted, cell))
    _check_growth(path, made)
    return made


def _check_growth(path: Path, made: list[Rung]) -> None:
    counts = {rung.size: rung.parameters for rung in made}
    names = list(counts)
    for smaller, larger in pairwise(names):
        if counts[larger] <= counts[smaller]:
            raise KormoError(
                where=f"{path}: sizes.{larger}",
                found=f"{counts[larger]:,} parameters, after {smaller} with {counts[smaller]:,}",
                why="a prediction is for the next larger size, so sizes must increase",
                do="list the sizes from the smallest to the largest",
            )


def _check_points(path: Path, spec: LadderSpec, recipe: Recipe) -> None:
    if recipe.steps is None or recipe.block.global_batch is None:
        raise KormoError(
            where=f"{path}: base",
            found=f"{spec.base}, which does not set the length of the run",
            why="the law is fitted to losses at numbers of tokens",
            do="set kormo.tokens and kormo.global_batch",
        )
    scheduler = recipe.get("lr_scheduler")
    decays = (recipe.get("lr_scheduler_kwargs") or {}).get("num_decay_steps")
    flat = scheduler in FLAT or (scheduler == "warmup_stable_decay" and decays == 0)
    if spec.points == "all" and not flat:
        raise KormoError(
            where=f"{path}: points",
            found=f"all, with lr_scheduler {scheduler}",
            why="its learning rate decays, so an evaluation on the way does not equal a shorter run",
            do="set points: last, or a schedule without decay",
        )
