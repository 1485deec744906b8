"""Finds, builds or verifies the artifacts of a recipe, for the commands of `kormo data`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from kormo_plugins.console.progress import Progress
from kormo_plugins.corpus.comparisons import step_warnings
from kormo_plugins.errors import Faults, KormoError
from kormo_plugins.pipeline.artifacts.corpora import build_corpora
from kormo_plugins.pipeline.build import add_model, build_data
from kormo_plugins.pipeline.built import NotBuilt, lookup_only
from kormo_plugins.pipeline.open import open_rows
from kormo_plugins.pipeline.verify import Checked, verify_folder
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.checks.devices.machine import data_not_ready, refuse_unwritable
from kormo_plugins.recipe.files.resolve import resolve_data
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.recipe.projections import CorpusPlan
from kormo_plugins.recipe.schema.dataset import parse_data
from kormo_plugins.store.artifact import MANIFEST, read_manifest

if TYPE_CHECKING:
    from kormo_plugins.mixture.dataset import MixtureDataset
    from kormo_plugins.pipeline.built import ArtifactProvider, Built
    from kormo_plugins.plugins.registry import Registry
    from kormo_plugins.recipe.load import Recipe
    from kormo_plugins.recipe.schema.dataset import DataRecipe
    from kormo_plugins.store.artifact import Artifact, Make, Spec


def looked_up(recipe: Path, workspace: Path) -> tuple[DataRecipe, dict[str, dict[str, Artifact]]]:
    """A recipe's data and its existing artifacts by kind and name; shards may be missing, documents may not.

    Raises:
        KormoError: the documents are not built.
    """
    had: dict[str, dict[str, Artifact]] = {"corpus": {}, "shards": {}}
    look = lookup_only(recipe)

    def get(folder: Path, spec: Spec, write: Make) -> Artifact:
        """Finds an artifact and records it by kind and name; raises `NotBuilt` if it does not exist."""
        artifact = look(folder, spec, write)
        had.setdefault(spec.kind, {})[spec.name] = artifact
        return artifact

    described = dataset_recipe(recipe) or recipe_with_data(recipe).data
    assert described is not None
    try:
        provide(recipe, workspace, get)
    except NotBuilt as error:
        if set(had["corpus"]) != set(described.corpus.documents_of):
            raise
        click.echo(f"kormo: without the number of tokens: {error.found}", err=True)
    return described, had


def provide(
    path: Path, workspace: Path, get: ArtifactProvider, workers: int | None = None, recipe: Recipe | None = None
) -> None:
    """Calls `get` for every artifact of a recipe except the initial checkpoint, or for the documents of a dataset
    recipe.

    Args:
        workers: number of processes; None: the recipe's.
        recipe: of `refuse_unready`; None: it is read.
    """
    if recipe is None and (alone := dataset_recipe(path)) is not None:
        _warn(alone, registry())
        build_corpora(CorpusPlan(path, workspace, registry(), _with_workers(alone, workers).corpus), get)
    else:
        _refuse_ignored(path)
        recipe = recipe or recipe_with_data(path)
        if recipe.data:
            _warn(recipe.data, recipe.registry)
        build_data(replace(recipe, data=_with_workers(recipe.data, workers)) if recipe.data else recipe, get)


def _warn(data: DataRecipe, components: Registry) -> None:
    for notice in step_warnings(data.corpus, components):
        click.echo(notice.render(), err=True)


def _refuse_ignored(path: Path) -> None:
    """Refuses `--workspace` if it would have no effect."""
    context = click.get_current_context(silent=True)
    if context is None or context.get_parameter_source("workspace") is not ParameterSource.COMMANDLINE:
        return
    raise KormoError(
        where=f"{context.command_path} --workspace",
        found=str(context.params["workspace"]),
        why=f"{path} is a training recipe, which sets the folder of its artifacts itself (kormo.workspace)",
        do="set kormo.workspace in the recipe, and leave the option out",
    )


def refuse_unready(path: Path, workspace: Path) -> Recipe | None:
    """Refuses a workspace that is not writable and missing files, before anything is read; returns the recipe, None
    for a dataset recipe."""
    if dataset_recipe(path) is not None:
        refuse_unwritable(workspace, "--workspace")
        return None
    recipe = recipe_with_data(path)
    faults = Faults(data_not_ready(recipe))
    with faults.catch():
        refuse_unwritable(recipe.block.workspace, recipe.resolved.where("kormo.workspace"))
    faults.raise_any()
    return recipe


def _with_workers(data: DataRecipe, workers: int | None) -> DataRecipe:
    return data if workers is None else replace(data, corpus=data.corpus.model_copy(update={"workers": workers}))


def dataset_recipe(path: Path) -> DataRecipe | None:
    """The dataset recipe in the file; None if the file is a training recipe."""
    own = read_yaml(path)
    if "kormo" in own or "plugins" in own:  # without `plugins` Axolotl does not load this package
        return None
    resolved = resolve_data(path)
    if "sources" not in resolved.values:
        return None
    return parse_data(resolved.values, registry(), lambda key: resolved.where(key) if key else str(path))


def recipe_with_data(path: Path) -> Recipe:
    """Loads a recipe; refuses one without data."""
    recipe = load_recipe(path)
    if recipe.data is None:
        raise KormoError(
            where=f"{path}: kormo.data",
            found="nothing",
            why="the data of this recipe is read by Axolotl itself, not built by kormo",
            do="name a recipe with kormo.data, or set it",
        )
    return recipe


def opened(path: Path) -> tuple[Recipe, Built, MixtureDataset]:
    """The recipe, its existing artifacts, and its mixture over all steps; builds nothing."""
    if dataset_recipe(path) is not None:
        raise KormoError(
            where=str(path),
            found="a dataset recipe by itself",
            why="rows and steps come from the recipe that is trained with it",
            do="name that recipe (recipes/pretrain.yml)",
        )
    recipe = recipe_with_data(path)
    if recipe.of_pairs:
        raise KormoError(
            where=str(path),
            found=f"a recipe with rl: {recipe.get('rl')}",
            why="it is trained on preference pairs, which have no rows",
            do="read pairs.jsonl in the folders that `kormo data build` names as preferences",
        )
    built = build_data(recipe, lookup_only(path))
    return recipe, built, open_rows(recipe.stream_plan(), built)


def verify_recipe(path: Path, workspace: Path) -> list[Checked]:
    """Verifies each existing artifact of a recipe, in build order.

    Damage may hide later artifacts (another tokenizer changes the name of the shards); then the artifacts found so far
    are reported, with the reason why the rest is missing.
    """
    checked: list[Checked] = []
    look = lookup_only(path, check=False)

    def get(folder: Path, spec: Spec, write: Make) -> Artifact:
        """Finds an artifact and compares its files with its manifest."""
        artifact = look(folder, spec, write)
        checked.append(_verify(artifact.path, artifact.manifest))
        return artifact

    try:
        if dataset_recipe(path) is not None:
            provide(path, workspace, get)
        else:
            _refuse_ignored(path)
            recipe = recipe_with_data(path)
            built = build_data(recipe, get)
            try:
                add_model(recipe, built, get)
            except NotBuilt:
                click.echo("kormo: there is no initial checkpoint yet; the first training writes it", err=True)
    except KormoError as error:
        if not any(one.damaged for one in checked):
            raise
        click.echo(f"kormo: artifacts built from the damaged files were not searched for ({error.found})", err=True)
    return checked


def verify_folders(folder: Path) -> list[Checked]:
    """Verifies one folder, or every artifact of a workspace."""
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    if not (folder / MANIFEST).is_file() and any((path / MANIFEST).is_file() for path in inside):
        return [_verify_folder(path, artifact=True) for path in inside]
    return [_verify_folder(folder, artifact=(folder / MANIFEST).is_file())]


def _verify_folder(folder: Path, artifact: bool) -> Checked:
    try:
        return _verify(folder, read_manifest(folder) if artifact else None)
    except KormoError as error:
        return Checked(folder, damaged=[error])


def _verify(folder: Path, manifest: Mapping[str, object] | None) -> Checked:
    with Progress(f"bytes of {folder.name}", unit="bytes") as progress:
        return verify_folder(folder, manifest, progress)
