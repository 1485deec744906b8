"""`kormo recipe plan` and `diff`: the cost of a training, and the effective differences between two recipes."""

from __future__ import annotations

from pathlib import Path

import click

from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.errors import KormoError
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
@click.option(
    "--gpu", default="h100", show_default=True, help="GPU model: h100, h200, a100, b200, l40s, rtx4090, cpu, …"
)
@click.option(
    "--mfu",
    default=0.4,
    show_default=True,
    help="Model FLOPs utilization: share of the peak FLOP/s that training reaches.",
)
@json_option
def plan(file: Path, gpus: int, gpu: str, mfu: float, as_json: bool) -> None:
    """Estimate the cost of training RECIPE: tokens, FLOPs, hours, disk, and the memory of each GPU by part.

    If the memory does not suffice, it suggests keys and values with which it would.
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
@click.option("--gpu", default="h100", show_default=True, help="GPU model, as for `kormo recipe plan`.")
@click.option(
    "--mfu",
    default=0.4,
    show_default=True,
    help="Model FLOPs utilization: share of the peak FLOP/s that training reaches.",
)
@json_option
def diff(a: Path, b: Path, gpus: int, gpu: str, mfu: float, as_json: bool) -> None:
    """The effective differences between recipes A and B, and their consequences.

    Both are compared with all inherited values and defaults. Names, folders and logging are listed separately. If both
    recipes train the same, that is stated; the exit status is always 0.
    """
    recipes = load_recipe(a), load_recipe(b)
    found = difference(*recipes, Machine(gpus, gpu, mfu), _counted)
    if as_json:
        return print_json(found.as_json())
    for line in difference_text(found, *recipes):
        click.echo(line)


def _counted(recipe: Recipe) -> dict[str, Counted] | None:
    """The token counts of a recipe's sources, if they are already built."""
    if recipe.data is None or not recipe.block.workspace.is_dir():
        return None
    from kormo_plugins.pipeline.build import build_data
    from kormo_plugins.pipeline.built import lookup_only

    try:
        built = build_data(recipe, lookup_only(recipe.path))
    except KormoError:  # not built yet: only the recipe's values are known
        return None
    return {
        name: Counted(int(rows.stats["tokens_placed"]), built.shards[name].stats["languages"])
        for name, rows in built.rows.items()
    }
