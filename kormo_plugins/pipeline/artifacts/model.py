"""The weights that training starts from: random, or those of the previous stage, if need be with another vocabulary or
config, or converted to another family (a mixture of experts upcycled from a dense model)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.artifacts import initial_model
from kormo_plugins.pipeline.artifacts.tokenizers import special_ids
from kormo_plugins.pipeline.built import ArtifactProvider, BuiltModel, BuiltTokenizer, dumped
from kormo_plugins.recipe.projections import EarlierRun, ModelPlan
from kormo_plugins.store.artifact import Spec
from kormo_plugins.tokenizer.layout import read_layout, tokenizer_hash


def build_model(plan: ModelPlan, tokenizer: BuiltTokenizer | None, get: ArtifactProvider) -> BuiltModel | None:
    """The initial checkpoint; None if the recipe starts from Axolotl's `base_model`."""
    if plan.before is not None:
        return _continued(plan, plan.before, tokenizer, get)
    if plan.architecture is None:
        return None
    assert tokenizer is not None
    return _drawn(plan, tokenizer, get)


def _drawn(plan: ModelPlan, tokenizer: BuiltTokenizer, get: ArtifactProvider) -> BuiltModel:
    """Weights from scratch."""
    choice = plan.architecture
    assert choice is not None
    where = f"{plan.path}: kormo.architecture"
    params = plan.components.params("architecture", choice.name, choice.values, where)
    family = plan.components.load("architecture", choice.name, where)
    ids = _ids(plan, tokenizer)
    inputs = {
        "architecture": choice.name,
        "params": dumped(params),
        "tokenizer": tokenizer.hash,
        "seed": plan.seed,
        "dtype": plan.dtype,
        "generation": plan.generation,
        **ids,
    }

    def make(out: Path) -> Mapping[str, object]:
        """Writes the checkpoint into `out`, drawn from the seed; the statistics for the manifest."""
        family.register()
        return family.write_initial(
            out,
            params,
            tokenizer=tokenizer.path,
            seed=plan.seed,
            dtype=plan.dtype,
            generation=plan.generation,
            **ids,
        )

    made = get(plan.workspace, Spec("init", choice.name, inputs), make)
    return BuiltModel(made.path, made.hash, made)


def _continued(
    plan: ModelPlan, before: EarlierRun, tokenizer: BuiltTokenizer | None, get: ArtifactProvider
) -> BuiltModel:
    """The model of the previous stage, with the recipe's tokenizer and config where they differ."""
    folder = initial_model.finished_model(before, contents=True)
    for name in plan.components.names("architecture"):
        plan.components.load("architecture", name).register()
    if plan.architecture is not None and initial_model.other_family(before) is not None:
        return _upcycled(plan, before, tokenizer, get)
    model = BuiltModel(folder, initial_model.weights_hash(folder))
    if tokenizer is not None and tokenizer.hash != tokenizer_hash(folder):
        model = _swapped(plan, tokenizer, folder, get)
    if changes := initial_model.config_changes(before, model.path):
        spec = initial_model.changed_spec(folder.name, model.weights_hash, changes)
        made = get(plan.workspace, spec, partial(initial_model.change_config, model.path, changes))
        model = BuiltModel(made.path, made.hash, made)
    return model


def _upcycled(
    plan: ModelPlan, before: EarlierRun, tokenizer: BuiltTokenizer | None, get: ArtifactProvider
) -> BuiltModel:
    """The model of the previous stage, converted to the family that the recipe names."""
    choice, folder = plan.architecture, before.folder
    assert choice is not None
    where = before.where("kormo.architecture")
    if tokenizer is not None and tokenizer.hash != tokenizer_hash(folder):
        raise KormoError(
            where=before.where("kormo.tokenizer"),
            found="a new tokenizer together with a new architecture",
            why="a stage can change only one of the two",
            do="set kormo.tokenizer: null, or change the vocabulary in a separate stage",
        )
    params = plan.components.params("architecture", choice.name, choice.values, where)
    family: Any = plan.components.load("architecture", choice.name, where)
    inputs = {
        "weights": initial_model.weights_hash(folder),
        "architecture": choice.name,
        "params": dumped(params),
        "seed": plan.seed,
    }
    make = partial(family.upcycle, folder, params=params, seed=plan.seed)
    made = get(plan.workspace, Spec("init", f"{folder.name}-upcycled", inputs), lambda out: make(out=out))
    return BuiltModel(made.path, made.hash, made)


def _swapped(plan: ModelPlan, tokenizer: BuiltTokenizer, folder: Path, get: ArtifactProvider) -> BuiltModel:
    ids = _ids(plan, tokenizer)
    values = plan.architecture.values if plan.architecture is not None else {}
    rows = read_layout(tokenizer.path).rows(int(values.get("vocab_multiple", initial_model.ROW_MULTIPLE)))
    spec = initial_model.swap_spec(folder, tokenizer.hash, rows, ids)
    made = get(plan.workspace, spec, lambda out: initial_model.swap_vocabulary(folder, tokenizer.path, rows, ids, out))
    return BuiltModel(made.path, made.hash, made)


def _ids(plan: ModelPlan, tokenizer: BuiltTokenizer) -> dict[str, int]:
    return {f"{role}_token_id": number for role, number in special_ids(tokenizer.path, plan.role).items()}
