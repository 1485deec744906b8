"""A chain: the stages of a model, in order; each takes the model of an earlier one.

    name: nano
    stages:
      - {name: pretrain, recipe: ../pretrain.yml}
      - {name: stage2, recipe: ../pretrain_stage2.yml, set: {kormo.tokens: 100000}}

A stage starts from `kormo.from_run` of its recipe, or from another stage of the chain with `from:`. `load_chain` reads
the file, all recipes with their changes and all inputs, and refuses what cannot be completed: an error in the last
stage is reported before the first one is trained.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.pipeline.artifacts import initial_model
from kormo_plugins.pipeline.axolotl_keys import axolotl_values
from kormo_plugins.pipeline.refusals import refuse_leaking_attention
from kormo_plugins.plugins.choice import Strict
from kormo_plugins.plugins.registry import checked
from kormo_plugins.recipe.files.environment import expand_paths
from kormo_plugins.recipe.files.kinds import CHAIN, read_kind
from kormo_plugins.recipe.files.override import changed
from kormo_plugins.recipe.files.shipped import beside, located
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.runs.identity import identity_inputs

FROM_RUN = "kormo.from_run"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class StageFile(Strict):
    """One stage as written."""

    name: str = Field(pattern=NAME, description="name of the stage in --from, --only, logs and the table")
    recipe: str = Field(
        description="recipe of the stage, relative to the chain's file, or kormo:NAME for one that comes with the "
        "package"
    )
    set: dict[str, object] = Field(
        default_factory=dict, description="dotted recipe key -> value that replaces the recipe's"
    )
    from_: str | None = Field(
        default=None,
        alias="from",
        description="name of an earlier stage whose model this one starts from; null: kormo.from_run of the recipe",
    )


class ChainFile(Strict):
    """The whole file."""

    name: str = Field(pattern=NAME, description="name of the chain")
    stages: tuple[StageFile, ...] = Field(min_length=1, description="stages in the order in which they run")
    set: dict[str, object] = Field(
        default_factory=dict, description="dotted recipe key -> value in every stage; a stage's own `set` wins"
    )
    folder: Path | None = Field(
        default=None, description="folder of chain.json, logs and resolved recipes; null: outputs/chains/NAME"
    )
    launcher: Literal["python", "torchrun", "accelerate"] = Field(
        default="python",
        description="launcher with which `axolotl train` starts its processes; python: a single process",
    )
    nproc_per_node: int = Field(
        default=1, ge=1, description="processes per node of every stage; more than 1 needs another launcher than python"
    )
    launcher_options: tuple[str, ...] = Field(default=(), description="additional options passed to the launcher")
    restarts: int = Field(
        default=3, ge=0, description="maximum number of restarts of a stage that was preempted (exit status 75)"
    )


@dataclass(frozen=True)
class Stage:
    """One stage, checked.

    Args:
        name: of the stage.
        recipe: with its changes.
        changes: dotted key -> value, as set by the chain.
        before: the stage of this chain whose model it takes; None: an existing model, or none.
    """

    name: str
    recipe: Recipe
    changes: Mapping[str, object]
    before: str | None

    @property
    def out(self) -> Path:
        """Folder of its model."""
        return self.recipe.output_dir


@dataclass(frozen=True)
class Chain:
    """A chain, checked."""

    path: Path
    file: ChainFile
    stages: tuple[Stage, ...]

    @property
    def folder(self) -> Path:
        """Folder of chain.json, logs and resolved recipes."""
        return self.file.folder or Path("outputs/chains") / self.file.name

    def stage(self, name: str) -> Stage:
        """The stage of that name.

        Raises:
            KormoError: there is none.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        names = [stage.name for stage in self.stages]
        raise KormoError(
            where=str(self.path),
            found=f"the stage {name!r}",
            why="the chain has no stage of that name",
            do=closest(name, names) or f"its stages are: {', '.join(names)}",
        )


def load_chain(path: Path) -> Chain:
    """The chain in the file, with everything checked that can be checked before a stage has run.

    Raises:
        KormoError: the first fault of the file, of a recipe, or of what a stage would start from.
    """
    path = located(path)
    file: ChainFile = checked(
        ChainFile, expand_paths(read_kind(path, CHAIN), str(path), ("folder",), ("set", "stages")), str(path)
    )
    _unique(path, [stage.name for stage in file.stages], "name")
    if file.nproc_per_node > 1 and file.launcher == "python":
        raise KormoError(
            where=f"{path}: nproc_per_node",
            found=str(file.nproc_per_node),
            why="the launcher python starts a single process",
            do="set launcher: torchrun",
        )
    stages: list[Stage] = []
    for entry in file.stages:
        stages.append(_stage(path, file, entry, stages))
    _unique(path, [str(stage.out) for stage in stages], "output_dir")
    chain = Chain(path, file, tuple(stages))
    for stage in stages:
        _check_inputs(chain, stage)
    return chain


def _stage(path: Path, file: ChainFile, entry: StageFile, earlier: list[Stage]) -> Stage:
    where = f"{path}: {entry.name}"
    changes = {**file.set, **entry.set}
    if entry.from_ is not None:
        source = next((stage for stage in earlier if stage.name == entry.from_), None)
        if source is None:
            names = [stage.name for stage in earlier]
            fix = closest(entry.from_, names) or f"before it come: {', '.join(names) or 'none'}"
            raise KormoError(
                where=f"{where}.from", found=repr(entry.from_), why="no stage before this one has that name", do=fix
            )
        if FROM_RUN in changes:
            raise KormoError(
                where=f"{where}.from",
                found=f"{entry.from_} beside set: {FROM_RUN}",
                why="the two name different models for the stage to start from",
                do="remove one of the two",
            )
        changes[FROM_RUN] = str(source.out)
    recipe = changed(beside(path.parent, entry.recipe, f"{where}.recipe"), changes)
    given = recipe.block.from_run
    before = next((stage for stage in earlier if given is not None and _same(stage.out, given)), None)
    return Stage(entry.name, recipe, changes, before.name if before else None)


def _check_inputs(chain: Chain, stage: Stage) -> None:
    """Checks that the stage can start: documents, the previous model, ranks, attention."""
    recipe, given = stage.recipe, stage.recipe.block.from_run
    if given is not None and stage.before is None:
        later = next((other for other in chain.stages if _same(other.out, given)), None)
        if later is not None:
            raise KormoError(
                where=recipe.resolved.where(FROM_RUN),
                found=str(given),
                why=f"the stage {later.name!r} writes this model, and comes later",
                do=f"put {later.name} before {stage.name} in {chain.path}",
            )
        assert recipe.earlier_run is not None
        initial_model.finished_model(recipe.earlier_run)
    elif stage.before is not None:
        _same_shape(stage, chain.stage(stage.before))
    axolotl_values(recipe.axolotl_plan(), None, chain.file.nproc_per_node)
    refuse_leaking_attention(recipe.attention_plan())
    identity_inputs(recipe.identity_plan())


def _same_shape(stage: Stage, before: Stage) -> None:
    """The shapes of two recipes, for the keys that both have."""
    own, other = stage.recipe.block.architecture, before.recipe.block.architecture
    if own is None or other is None:
        return
    for key in initial_model.SHAPE:
        mine, theirs = own.values.get(key), other.values.get(key)
        if mine is not None and theirs is not None and mine != theirs:
            raise KormoError(
                where=stage.recipe.resolved.where(f"kormo.architecture.{key}"),
                found=f"{key} {mine} in stage {stage.name}",
                why=f"it starts from the model of {before.name}, whose {key} is {theirs}",
                do="extend the same size file in both",
            )


def _unique(path: Path, names: list[str], what: str) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise KormoError(
            where=f"{path}: stages",
            found=f"the {what} {twice!r} twice",
            why="one stage would overwrite the other",
            do=f"give each stage a {what} of its own",
        )


def _same(one: Path, other: Path) -> bool:
    return os.path.abspath(one) == os.path.abspath(other)  # noqa: PTH100 - links stay what they are called
