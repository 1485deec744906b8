"""`kormo recipe`: the group of commands about recipes, each imported on use."""

from __future__ import annotations

import click

from kormo_plugins.cli.support.lazy_group import LazyGroup

_PARTS = {
    "plan": (
        "kormo_plugins.cli.recipe.costs:plan",
        "Estimate the cost of training RECIPE: tokens, FLOPs, hours, disk, and the memory of each GPU by part.",
    ),
    "diff": (
        "kormo_plugins.cli.recipe.costs:diff",
        "The effective differences between recipes A and B, and their consequences.",
    ),
    "schema": (
        "kormo_plugins.cli.recipe.schema:schema",
        "JSON Schema of recipes: Axolotl's keys, ours, and those of every installed component.",
    ),
    "keys": (
        "kormo_plugins.cli.recipe.show:keys",
        "How each of Axolotl's keys is treated in a recipe that trains on kormo.data.",
    ),
    "show": (
        "kormo_plugins.cli.recipe.show:show",
        "The recipe in FILE with all inherited values, as Axolotl and KORMo see it.",
    ),
    "validate": (
        "kormo_plugins.cli.recipe.validate:validate",
        "Check recipes, or dataset recipes: every key, value and component, and their combinations.",
    ),
}


class _Parts(LazyGroup):
    table = _PARTS


@click.group(cls=_Parts)
def recipe() -> None:
    """Show and check recipes."""
