"""A recipe, read and checked: the resolved values, the `kormo:` block and the data recipe as typed objects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import Registry, registry
from kormo_plugins.recipe.checks.keys import check_axolotl_keys
from kormo_plugins.recipe.checks.rules import RULES
from kormo_plugins.recipe.checks.unseen import unseen_data
from kormo_plugins.recipe.files.resolve import Resolved, resolve
from kormo_plugins.recipe.schema.axolotl import OURS, is_ours, is_registered
from kormo_plugins.recipe.schema.dataset import DataRecipe, parse_data
from kormo_plugins.recipe.schema.kormo_block import KormoBlock, parse_block


@dataclass(frozen=True)
class Recipe:
    """Everything a recipe says, checked, and nothing that it does not say."""

    path: Path
    resolved: Resolved
    block: KormoBlock
    data: DataRecipe | None
    registry: Registry
    unseen: DataRecipe | None = None
    """Texts that are only measured (`kormo.monitor.unseen`)."""

    def get(self, key: str, default: Any = None) -> Any:
        """One of Axolotl's own keys."""
        value = self.resolved.values.get(key)
        return default if value is None else value

    @property
    def sequence_len(self) -> int:
        """Tokens per row."""
        return int(self.get("sequence_len", 512))

    @property
    def seed(self) -> int:
        """Seed of weights, dropout and the order of the data."""
        return int(self.get("seed", 42))

    @property
    def output_dir(self) -> Path:
        """The run's folder."""
        return Path(self.get("output_dir", "outputs/run"))

    @property
    def steps(self) -> int | None:
        """Optimizer steps of the run; None when Axolotl's own datasets decide."""
        if self.get("max_steps") is not None:
            return int(self.get("max_steps"))
        if self.block.tokens is None or self.block.global_batch is None:
            return None
        return math.ceil(self.block.tokens / (self.block.global_batch * self.sequence_len))


def load_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Reads a recipe file with everything that it extends, and checks all that can be checked without building.

    Args:
        path: the recipe.
        overrides: values that win over the files (Axolotl's command-line options).
    Raises:
        KormoError: the first thing that is wrong with it.
    """
    given = dict(overrides or {})
    resolved = resolve(path, given)
    listed = resolved.get("plugins") or []
    if isinstance(listed, list) and not any(is_ours(str(name)) for name in listed) and is_registered(()):
        # Found by Axolotl without being named: the resolved recipe names it, for every Axolotl and for its identity.
        given["plugins"] = [*(given.get("plugins") or ()), OURS[0]]
        resolved = resolve(path, given)
    if given.get("max_steps") is not None and resolved.get("kormo.tokens") is not None:
        # `--max-steps 10` on the command line shortens a recipe whose length is said in tokens.
        resolved = resolve(path, {**given, "kormo": {**given.get("kormo", {}), "tokens": None}})
    if "kormo" not in resolved.values:
        raise KormoError(
            where=f"{path}: kormo",
            found="nothing",
            why="a recipe for this plugin has a `kormo:` block",
            do="add one, or extend a recipe that has one (recipes/pretrain.yml)",
        )
    check_axolotl_keys(resolved)
    components = components_of(resolved)
    block = _block(resolved, components)
    data = None
    if block.data is not None:
        data = parse_data(
            block.data, components, lambda key: resolved.where(f"kormo.data.{key}" if key else "kormo.data")
        )
    recipe = Recipe(path, resolved, block, data, components, unseen_data(resolved, block, data, components))
    _check_tokenizer(recipe)
    for rule in RULES:
        rule(resolved)
    return recipe


def components_of(resolved: Resolved) -> Registry:
    """The registry with the plugins that the recipe names under `kormo.plugins`.

    Raises:
        KormoError: a plugin cannot be imported, or `kormo.plugins` is not a list of names.
    """
    names = resolved.get("kormo.plugins") or ()
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise KormoError(
            where=resolved.where("kormo.plugins"),
            found=repr(names),
            why="it is a list of module names",
            do="write [my.module]",
        )
    return registry(tuple(names))


def _block(resolved: Resolved, components: Registry) -> KormoBlock:
    values = resolved.values["kormo"]
    if isinstance(values, Mapping) and values.get("precision") is None:
        raise KormoError(
            where=resolved.where("kormo.precision"),
            found="nothing",
            why="Axolotl's own choice of dtypes depends on the device and on the stage",
            do="write precision: {weights: float32, compute: bfloat16, optimizer: float32}",
        )
    try:
        return parse_block(values, components, str(resolved.path))
    except KormoError as error:  # say the file that set the key, not the one that was asked for
        file, _, key = error.where.partition(": ")
        if file != str(resolved.path) or not key:
            raise
        raise KormoError(where=resolved.where(key), found=error.found, why=error.why, do=error.do) from None


def _check_tokenizer(recipe: Recipe) -> None:
    """The parameters of a tokenizer that is to be trained."""
    choice = recipe.block.tokenizer
    if choice is None or choice.train is None:
        return
    values = dict(choice.train)
    name = values.pop("name", None)
    where = recipe.resolved.where("kormo.tokenizer.train")
    if not isinstance(name, str):
        raise KormoError(
            where=where,
            found=f"name: {name!r}",
            why="`name` says which tokenizer is trained",
            do=f"set it to one of: {', '.join(recipe.registry.names('tokenizer')) or 'none is installed'}",
        )
    recipe.registry.params("tokenizer", name, values, where)
