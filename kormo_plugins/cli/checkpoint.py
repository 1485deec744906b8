"""`kormo checkpoint`: which are whole, for another number of ranks, and as a plain model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kormo_plugins.cli.output import json_option, print_json, print_table
from kormo_plugins.errors import KormoError
from kormo_plugins.runs import revisions as hub_revisions
from kormo_plugins.store.complete import fault, read_marker
from kormo_plugins.training.checkpoints.complete import checkpoints, step_of
from kormo_plugins.training.checkpoints.sharded import shards_of
from kormo_plugins.training.checkpoints.universal import convert

FOLDER = click.Path(path_type=Path)


@click.group()
def checkpoint() -> None:
    """Look at checkpoints, convert and consolidate them."""


@checkpoint.command("list")
@click.argument("run", type=FOLDER)
@click.option("--hashes", is_flag=True, help="Read every file and compare its hash; otherwise names and sizes.")
@json_option
def list_(run: Path, hashes: bool, as_json: bool) -> None:
    """The checkpoints of a RUN (its output folder), and which of them are whole."""
    if not run.is_dir():
        raise KormoError(
            where=str(run),
            found="no such folder",
            why="checkpoints are in a run's output folder",
            do="correct the path",
        )
    found = [_described(folder, hashes) for folder in checkpoints(run)]
    if as_json:
        return print_json(found)
    if not found:
        return click.echo(f"{run} holds no checkpoint")
    rows = [
        (
            entry["name"],
            "whole" if entry["whole"] else f"not whole: {entry['fault']}",
            _bytes(entry["bytes"]),
            "yes" if entry["milestone"] else "",
            _writer(entry),
        )
        for entry in found
    ]
    print_table(("checkpoint", "state", "size", "milestone", "written by"), rows)


@checkpoint.command()
@click.argument("folder", type=FOLDER, metavar="CHECKPOINT")
@click.option("--workers", default=1, show_default=True, help="Processes; each holds one rank's states in memory.")
@json_option
def universal(folder: Path, workers: int, as_json: bool) -> None:
    """Make a DeepSpeed CHECKPOINT readable for any number of ranks.

    The files of the ranks stay. A run that is started again on another number of ranks uses the universal form by
    itself.
    """
    shards = convert(folder, workers)
    if as_json:
        return print_json({"checkpoint": folder, "ranks": shards.ranks, "universal": shards.universal})
    click.echo(f"{folder}: written by {shards.ranks} rank(s), now readable for any number")


@checkpoint.command()
@click.argument("folder", type=FOLDER, metavar="CHECKPOINT")
@click.argument("out", type=FOLDER)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Of the written weights; float32 keeps the master weights.",
)
@click.option(
    "--plugin", "modules", multiple=True, metavar="MODULE", help="Load this module too, as kormo.plugins does."
)
@json_option
def consolidate(folder: Path, out: Path, dtype: str, modules: tuple[str, ...], as_json: bool) -> None:
    """Write the model of a partitioned CHECKPOINT as one plain folder OUT (safetensors, tokenizer, configs).

    It is opened and compared before OUT gets its name.
    """
    from kormo_plugins.training.checkpoints.consolidate import consolidate as write

    found = write(folder, out, dtype, modules)
    if as_json:
        return print_json({"checkpoint": folder, "path": out, "dtype": dtype, **found})
    click.echo(f"{out}: step {found['step']}, {found['weights']} weights in {dtype}, {found['bytes']:,} bytes")
    click.echo(f"opened and compared; {found['compared']} weights equal the checkpoint's own copy in its own dtype")


@checkpoint.command()
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--every", metavar="TOKENS", help="Only one for each so many tokens: 500M, 50B. By default all.")
@click.option("--tokens-per-step", type=click.IntRange(min=1), help="Where a revision's name does not say its tokens.")
@click.option("--out", type=FOLDER, help="A folder for each checkpoint, below this one. Without it they are listed.")
@json_option
def fetch(repository: str, every: str | None, tokens_per_step: int | None, out: Path | None, as_json: bool) -> None:
    """Walk over the checkpoints that a hub keeps as revisions of a model: list them, or download every so many tokens.

    Weights, configs and tokenizer are fetched, in safetensors and JSON; no code and no pickle. `AutoModelForCausalLM`
    opens each folder of the Llama layout; for KORMo's own, register it first or use `kormo chat` and `kormo eval`.
    """
    found = hub_revisions.of_model(repository, tokens_per_step)
    chosen = hub_revisions.spaced(found, hub_revisions.amount(every)) if every else found
    folders = {point.name: hub_revisions.fetch(repository, point, out) if out else None for point in chosen}
    if as_json:
        return print_json(
            [{"revision": p.name, "step": p.step, "tokens": p.tokens, "path": folders[p.name]} for p in chosen]
        )
    rows = [
        (p.name, f"{p.step:,}", "" if p.tokens is None else f"{p.tokens:,}", str(folders[p.name] or "")) for p in chosen
    ]
    print_table(("revision", "step", "tokens", "folder"), rows)


def _described(folder: Path, hashes: bool) -> dict[str, Any]:
    reason, shards = fault(folder, hashes), shards_of(folder)
    return {
        "name": folder.name,
        "step": step_of(folder),
        "whole": reason is None,
        "fault": reason,
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "milestone": bool(read_marker(folder).get("milestone")),
        "ranks": shards.ranks if shards else None,
        "universal": bool(shards and shards.universal),
    }


def _writer(entry: dict[str, object]) -> str:
    if entry["ranks"] is None:
        return "no DeepSpeed"
    return f"DeepSpeed, {entry['ranks']} rank(s){', universal' if entry['universal'] else ''}"


def _bytes(number: int) -> str:
    return f"{number / 1e9:,.2f} GB" if number >= 1e8 else f"{number / 1e6:,.2f} MB"
