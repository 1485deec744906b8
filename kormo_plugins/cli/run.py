"""`kormo run`: a chain of stages, from random weights to a chat model, with one command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kormo_plugins.cli.support.output import json_option, print_json, print_table
from kormo_plugins.cli.train import axolotl
from kormo_plugins.experiments.chain.spec import load_chain
from kormo_plugins.pipeline.built import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kormo_plugins.experiments.chain.record import Entry, Record
    from kormo_plugins.experiments.chain.spec import Chain, Stage

HEADER = ("stage", "what", "time", "steps", "tokens", "loss", "model", "why")


@click.command()
@click.argument("chain", type=click.Path(path_type=Path))
@click.option("--from", "first", metavar="STAGE", help="Start with this stage; reuse the models of earlier stages.")
@click.option("--only", metavar="STAGE", help="Run only this stage.")
@click.option("--dry-run", is_flag=True, help="Show what would be run and why; run nothing.")
@json_option
def run(chain: Path, first: str | None, only: str | None, dry_run: bool, as_json: bool) -> None:
    """Run the stages of CHAIN, a file of recipes/chains/.

    A finished stage is skipped if nothing that it depends on has changed; an interrupted one is resumed; a changed one
    is retrained, and its old result is set aside. Everything is checked before the first stage starts.
    """
    from kormo_plugins.experiments.chain.runner import exit_status, last_lines, plan, run_chain

    loaded = load_chain(chain)
    if dry_run:
        _show(plan(loaded, first, only), as_json)
        return
    _environment()
    record = run_chain(loaded, command, first=first, only=only, log=say)
    _show(record, as_json)
    for entry in record.entries.values():
        if entry.status == "failed" and entry.log:
            click.echo(f"\nkormo: the last lines of {entry.log}:", err=True)
            for line in last_lines(Path(entry.log)):
                click.echo(f"  {line}", err=True)
    raise click.exceptions.Exit(exit_status(record))


def command(chain: Chain, stage: Stage, recipe: Path) -> Sequence[str]:
    """`axolotl train` of this environment on the resolved recipe."""
    options = list(chain.file.launcher_options)
    if chain.file.launcher == "torchrun":
        options = [f"--nproc_per_node={chain.file.nproc_per_node}", *options]
    elif chain.file.launcher == "accelerate" and chain.file.nproc_per_node > 1:
        options = [f"--num_processes={chain.file.nproc_per_node}", *options]
    words = [axolotl(), "train", str(recipe), "--launcher", chain.file.launcher]
    return [*words, *(["--", *options] if options else [])]


def _environment() -> None:
    """Puts this environment's programs first on PATH, since Axolotl starts launchers by name."""
    programs = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])


def _show(record: Record, as_json: bool) -> None:
    if as_json:
        print_json(record.as_dict())
        return
    rows = [_row(entry) for entry in record.entries.values()]
    if not sys.stdout.isatty():
        print_table(HEADER, rows)
        return
    from rich.console import Console
    from rich.table import Table

    colours = {"trained": "green", "skipped": "dim", "failed": "red", "preempted": "yellow"}
    table = Table(title=f"{record.chain.file.name}: {_time(sum(e.seconds for e in record.entries.values()))}")
    for name in HEADER:
        table.add_column(name, justify="right" if name in ("time", "steps", "tokens") else "left")
    for entry, row in zip(record.entries.values(), rows, strict=True):
        table.add_row(*row, style=colours.get(entry.status))
    Console().print(table)


def _row(entry: Entry) -> list[str]:
    loss = "" if entry.loss is None else f"{entry.loss_at_start:.2f} → {entry.loss:.2f}"
    model = entry.output if entry.weights else ""
    number = "" if entry.tokens is None else f"{entry.tokens:,}"
    return [
        entry.name,
        entry.status,
        _time(entry.seconds) if entry.seconds else "",
        "" if entry.steps is None else str(entry.steps),
        number,
        loss,
        model,
        entry.why,
    ]


def _time(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {whole % 60:02d} s"
