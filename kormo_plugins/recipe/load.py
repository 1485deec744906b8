"""A recipe, read and checked: the resolved values, the `kormo:` block and the data recipe as typed
objects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.data import DataRecipe, parse_data
from kormo_plugins.recipe.resolve import Resolved, resolve
from kormo_plugins.recipe.schema import KormoBlock, parse_block
from kormo_plugins.registry import Registry, registry


@dataclass(frozen=True)
class Recipe:
    """Everything a recipe says, checked, and nothing that it does not say."""

    path: Path
    resolved: Resolved
    block: KormoBlock
    data: DataRecipe | None
    registry: Registry

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
    """Reads a recipe file with everything that it extends.

    Args:
        path: the recipe.
        overrides: values that win over the files (Axolotl's command-line options).
    Raises:
        KormoError: anything that is wrong with it.
    """
    resolved = resolve(path, dict(overrides or {}))
    if "kormo" not in resolved.values:
        raise KormoError(
            f"{path}: kormo",
            "nothing",
            "a recipe for this plugin has a `kormo:` block",
            "add one, or extend a recipe that has one (recipes/pretrain.yml)",
        )
    modules = resolved.get("kormo.plugins") or ()
    if not isinstance(modules, (list, tuple)) or not all(isinstance(name, str) for name in modules):
        raise KormoError(
            resolved.where("kormo.plugins"),
            repr(modules),
            "it is a list of module names",
            "write [my.module]",
        )
    if isinstance(resolved.values["kormo"], Mapping) and resolved.get("kormo.precision") is None:
        raise KormoError(
            resolved.where("kormo.precision"),
            "nothing",
            "Axolotl's own choice of dtypes depends on the device and on the stage",
            "write precision: {weights: float32, compute: bfloat16, optimizer: float32}",
        )
    known = registry(tuple(modules))
    try:
        block = parse_block(resolved.values["kormo"], known, str(path))
    except KormoError as error:
        raise _placed(error, resolved) from None
    if block.data is None:
        return Recipe(path, resolved, block, None, known)
    data = parse_data(
        block.data, known, lambda key: resolved.where(f"kormo.data.{key}" if key else "kormo.data")
    )
    return Recipe(path, resolved, block, data, known)


def _placed(error: KormoError, resolved: Resolved) -> KormoError:
    """The error with the file that set the key in place of the file that was asked for."""
    file, _, key = error.where.partition(": ")
    if file != str(resolved.path) or not key:
        return error
    return KormoError(resolved.where(key), error.what, error.why, error.fix)
