"""Several runs of one recipe: `kormo ablate` compares variants, `kormo ladder` compares sizes and predicts the next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from kormo_plugins.cli.support.output import json_option, print_json, print_table
from kormo_plugins.experiments.ablation.markdown import markdown
from kormo_plugins.experiments.ablation.spec import cells, read_spec
from kormo_plugins.experiments.ladder import spec as ladder_spec


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

    After an interruption the same command continues. The exit status is 1 if a cell failed, 75 if one was preempted.
    """
    from kormo_plugins.experiments.ablation.runner import Ablation, run

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


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("outputs/ladders"),
    show_default=True,
    help="Folder of the results and of all runs.",
)
@click.option("--dry-run", is_flag=True, help="Check every size and show it; train nothing.")
@json_option
def ladder(file: Path, out: Path, dry_run: bool, as_json: bool) -> None:
    """Train the sizes in FILE, fit a scaling law, and predict the next size before it is trained.

    Each prediction is written to predictions.jsonl with its time and a hash, before the predicted run starts; the page
    compares it with the outcome. After an interruption the same command continues. The exit status is 1 if a run
    failed, 75 if one was preempted.
    """
    from kormo_plugins.experiments.ladder.runner import PAGE, Ladder, as_record, run

    spec = ladder_spec.read_spec(file)
    made = Ladder(file, spec, ladder_spec.rungs(file, spec), out / file.stem, out / "runs")
    code = 0
    if dry_run:
        rows = [
            [r.cell.variant, f"{r.parameters:,}", str(r.cell.seed), str(r.cell.recipe.steps),
             "predicted" if r.target else "fitted", str(made.folder(r))]
            for r in made.rungs
        ]  # fmt: skip
        if not as_json:
            return print_table(["SIZE", "PARAMETERS", "SEED", "STEPS", "", "FOLDER"], rows)
    else:
        code = run(made, lambda line: click.echo(f"kormo: {line}", err=True))
    record = as_record(made)
    if as_json:
        print_json(record)
    else:
        _show(record)
        click.echo(f"Written to {made.out / PAGE}")
    raise click.exceptions.Exit(code)


def _show(record: Mapping[str, Any]) -> None:
    """Prints prediction and outcome at the end of each predicted run."""
    runs = {run["hash"]: dict(map(tuple, run["points"])) for run in record["runs"]}
    rows = []
    for line in record["predictions"]:
        last = line["at"][-1]
        outcome = runs.get(line["target"], {}).get(last["tokens"])
        rows.append(
            [line["size"], f"{last['tokens']:,}", f"{last['loss']:.4f}", f"{last['low']:.4f} to {last['high']:.4f}",
             "–" if outcome is None else f"{outcome:.4f}", "before" if line["before"] else "afterwards"]
        )  # fmt: skip
    print_table(["SIZE", "TOKENS", "PREDICTED", "95% INTERVAL", "OUTCOME", "MADE"], rows)
