"""The recipe's kernels: the keys that they need, applying them before training, and undoing them after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.hookspecs import Kernel, NeedsAxolotl, Params, Releases
from kormo_plugins.recipe.load import Recipe


def _kernels(recipe: Recipe) -> Iterator[tuple[Kernel, Params]]:
    """Each kernel of the recipe with its parameters."""
    for index, choice in enumerate(recipe.block.kernels):
        where = recipe.resolved.where(f"kormo.kernels[{index}]")
        params = recipe.registry.params("kernel", choice.name, choice.values, where)
        yield recipe.registry.load("kernel", choice.name, where), params


def axolotl_keys(recipe: Recipe) -> dict[str, Any]:
    """Axolotl's keys that the kernels need on this machine, and under `plugins` the plugins that read them.

    Raises:
        KormoError: two kernels want the same key to be different.
    """
    plugins: list[str] = []
    keys: dict[str, object] = {}
    for kernel, params in _kernels(recipe):
        wanted = dict(kernel.axolotl(params)) if isinstance(kernel, NeedsAxolotl) else {}
        plugins += wanted.pop("plugins", [])
        for key, value in wanted.items():
            if keys.setdefault(key, value) != value:
                raise KormoError(
                    where=recipe.resolved.where("kormo.kernels"),
                    found=f"{key}: {keys[key]} and {value}",
                    why="two kernels do the same work",
                    do="remove one of them",
                )
    return {**keys, "plugins": list(dict.fromkeys(plugins))}


def apply(recipe: Recipe, model_type: str) -> list[str]:
    """Patches, before a model of that type is built; returns one line per kernel."""
    return [kernel(model_type, params) for kernel, params in _kernels(recipe)]


def release(recipe: Recipe) -> None:
    """Undoes what can be undone, in reverse order."""
    for kernel, _ in reversed(list(_kernels(recipe))):
        if isinstance(kernel, Releases):
            kernel.release()
