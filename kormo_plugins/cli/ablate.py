"""`kormo ablate`: variants of a recipe, trained with several seeds and compared."""

from __future__ import annotations

from pathlib import Path

import click

from kormo_plugins.cli.output import json_option, print_json, print_table
from kormo_plugins.experiments.ablation.markdown import markdown


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("outputs/ablations"),
    show_default=True,
    help="Folder of the results and of all cells.",
)
@click.option("--dry-run", is_flag=True, help="Check every cell and show them; train nothing.")
@json_option
def ablate(file: Path, out: Path, dry_run: bool, as_json: bool) -> None:
    """Train every variant in FILE with every seed, and compare them.

    Killed or stopped, the same command goes on. The exit status is 1 if a cell failed, 75 if one was preempted.
    """
    from kormo_plugins.experiments.ablation.runner import Ablation, run
    from kormo_plugins.experiments.ablation.spec import cells, read_spec

    spec = read_spec(file)
    ablation = Ablation(file, spec, cells(file, spec), out / file.stem, out / "cells")
    code = 0
    if dry_run:
        rows = [[c.variant, str(c.seed), str(c.recipe.steps), str(c.folder(ablation.runs))] for c in ablation.cells]
        if not as_json:
            return print_table(["VARIANT", "SEED", "STEPS", "FOLDER"], rows)
    else:
        code = run(ablation, lambda line: click.echo(f"kormo: {line}", err=True))
    if as_json:
        print_json(ablation.record())
    else:
        click.echo(markdown(ablation.record()))
        click.echo(f"Written to {ablation.out}")
    raise click.exceptions.Exit(code)
