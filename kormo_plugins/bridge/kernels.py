"""The recipe's kernels: their Axolotl keys, applying them before training, and undoing them afterwards."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.errors import KormoError
from kormo_plugins.hookspecs import Kernel, NeedsAxolotl, Params, Releases
from kormo_plugins.recipe.projections import KernelPlan


def _kernels(plan: KernelPlan) -> Iterator[tuple[Kernel, Params]]:
    """Each kernel of the recipe with its parameters."""
    for where, choice in plan.choices:
        params = plan.components.params("kernel", choice.name, choice.values, where)
        yield plan.components.load("kernel", choice.name, where), params


def axolotl_keys(plan: KernelPlan) -> tuple[dict[str, object], list[str]]:
    """The Axolotl keys that the kernels need on this machine, and the Axolotl plugins that read them.

    Raises:
        KormoError: two kernels need different values of one key.
    """
    plugins: list[str] = []
    keys: dict[str, object] = {}
    for kernel, params in _kernels(plan):
        wanted = dict(kernel.axolotl(params)) if isinstance(kernel, NeedsAxolotl) else {}
        readers = wanted.pop("plugins", [])
        plugins += map(str, readers) if isinstance(readers, (list, tuple)) else ()
        for key, value in wanted.items():
            if keys.setdefault(key, value) != value:
                raise KormoError(
                    where=plan.where,
                    found=f"{key}: {keys[key]} and {value}",
                    why="two kernels do the same work",
                    do="remove one of them",
                )
    return keys, list(dict.fromkeys(plugins))


def apply(plan: KernelPlan, model_type: str) -> list[str]:
    """Applies the patches before a model of that type is built; returns one line per kernel for the log."""
    return [kernel(model_type, params) for kernel, params in _kernels(plan)]


def release(plan: KernelPlan) -> None:
    """Reverts the patches that can be reverted, in reverse order."""
    for kernel, _ in reversed(list(_kernels(plan))):
        if isinstance(kernel, Releases):
            kernel.release()
