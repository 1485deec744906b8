"""`kormo recipe plan` and `diff`: what a training will take, and what really changes between two recipes."""

from __future__ import annotations

from pathlib import Path

import click

from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.build import build_data
from kormo_plugins.pipeline.built import lookup_only
from kormo_plugins.recipe.cost.machine import Machine
from kormo_plugins.recipe.cost.plan import plan as plan_of
from kormo_plugins.recipe.cost.plan_text import text as plan_text
from kormo_plugins.recipe.cost.shares import Counted
from kormo_plugins.recipe.diff.diff_text import text as difference_text
from kormo_plugins.recipe.diff.difference import difference
from kormo_plugins.recipe.load import Recipe, load_recipe


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="RECIPE")
@click.option("--gpus", default=1, show_default=True, help="Number of GPUs, one rank each.")
@click.option("--gpu", default="h100", show_default=True, help="Which: h100, h200, a100, b200, l40s, rtx4090, cpu, …")
@click.option("--mfu", default=0.4, show_default=True, help="Share of the peak FLOP/s that training will reach.")
@json_option
def plan(file: Path, gpus: int, gpu: str, mfu: float, as_json: bool) -> None:
    """What training RECIPE will take: tokens, FLOPs, hours, disk, and the memory of each GPU by part.

    Where the memory is not enough, it names keys and values with which it would be.
    """
    found = plan_of(load_recipe(file), Machine(gpus, gpu, mfu))
    if as_json:
        return print_json(found.as_json())
    for line in plan_text(found):
        click.echo(line)


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--gpus", default=1, show_default=True, help="Number of GPUs, for memory and hours.")
@click.option("--gpu", default="h100", show_default=True, help="Which, as for `kormo recipe plan`.")
@click.option("--mfu", default=0.4, show_default=True, help="Share of the peak FLOP/s that training will reach.")
@json_option
def diff(a: Path, b: Path, gpus: int, gpu: str, mfu: float, as_json: bool) -> None:
    """What really changes from recipe A to recipe B, and what follows from it.

    Both are compared with everything that they inherit and every default written out. Names, folders and logging are
    set apart. Two recipes that train the same thing say so; the exit status is 0 in any case.
    """
    recipes = load_recipe(a), load_recipe(b)
    found = difference(*recipes, Machine(gpus, gpu, mfu), _counted)
    if as_json:
        return print_json(found.as_json())
    for line in difference_text(found, *recipes):
        click.echo(line)


def _counted(recipe: Recipe) -> dict[str, Counted] | None:
    """The sources of a recipe as built, found without building anything."""
    if recipe.data is None or not recipe.block.workspace.is_dir():
        return None
    try:
        built = build_data(recipe, lookup_only(recipe.path))
    except KormoError:  # not built yet: the recipe's own words must do
        return None
    return {
        name: Counted(int(rows.stats["tokens_placed"]), built.shards[name].stats["languages"])
        for name, rows in built.rows.items()
    }
