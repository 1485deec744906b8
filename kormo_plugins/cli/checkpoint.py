"""`kormo checkpoint`: lists, converts, consolidates and downloads checkpoints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from kormo_plugins.cli.support.output import json_option, print_json, print_table
from kormo_plugins.errors import KormoError, closest
from kormo_plugins.runs.publishing import revisions as hub_revisions
from kormo_plugins.store.complete import fault, read_marker
from kormo_plugins.store.sums import SUMS
from kormo_plugins.training.checkpoints.complete import checkpoints, step_of
from kormo_plugins.training.checkpoints.consolidate import consolidate as write
from kormo_plugins.training.checkpoints.sharded import shards_of
from kormo_plugins.training.checkpoints.universal import convert

FOLDER = click.Path(path_type=Path)


@click.group()
def checkpoint() -> None:
    """List, convert, consolidate and fetch checkpoints."""


@checkpoint.command("list")
@click.argument("run", type=FOLDER)
@click.option("--hashes", is_flag=True, help="Read every file and compare its hash; otherwise only names and sizes.")
@json_option
def list_(run: Path, hashes: bool, as_json: bool) -> None:
    """The checkpoints of a RUN (its output folder), and which of them are whole."""
    if not run.is_dir():
        raise KormoError(
            where=str(run),
            found="no such folder",
            why="checkpoints are read from the output folder of a run",
            do="correct the path",
        )
    entries = [_described(folder, hashes) for folder in checkpoints(run)]
    if as_json:
        return print_json(entries)
    if not entries:
        return click.echo(f"{run} holds no checkpoint")
    rows = [
        (
            entry["name"],
            "whole" if entry["whole"] else f"not whole: {entry['fault']}",
            _bytes(entry["bytes"]),
            "yes" if entry["milestone"] else "",
            _writer(entry),
        )
        for entry in entries
    ]
    print_table(("checkpoint", "state", "size", "milestone", "written by"), rows)


@checkpoint.command()
@click.argument("folder", type=FOLDER, metavar="CHECKPOINT")
@click.option(
    "--workers", default=1, show_default=True, help="Parallel processes; each holds the states of one rank in memory."
)
@json_option
def universal(folder: Path, workers: int, as_json: bool) -> None:
    """Make a DeepSpeed CHECKPOINT readable for any number of ranks.

    The ranks' own files are kept. A run that is restarted on another number of ranks uses the universal form
    automatically.
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
    help="Dtype of the written weights; float32 keeps the master weights.",
)
@click.option(
    "--plugin", "modules", multiple=True, metavar="MODULE", help="Load this plugin module too, like kormo.plugins."
)
@json_option
def consolidate(folder: Path, out: Path, dtype: str, modules: tuple[str, ...], as_json: bool) -> None:
    """Write the model of a partitioned CHECKPOINT as one plain folder OUT (safetensors, tokenizer, configs).

    The result is opened and compared before it is renamed to OUT.
    """
    written = write(folder, out, dtype, modules)
    if as_json:
        return print_json({"checkpoint": folder, "path": out, "dtype": dtype, **written})
    click.echo(f"{out}: step {written['step']}, {written['weights']} weights in {dtype}, {written['bytes']:,} bytes")
    click.echo(f"opened and compared; {written['compared']} weights equal the checkpoint's own copy in its own dtype")


@checkpoint.command()
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--every", metavar="TOKENS", help="Select one revision per this many tokens (500M, 50B). [default: all]")
@click.option(
    "--tokens-per-step",
    type=click.IntRange(min=1),
    help="Tokens per optimizer step, for revisions whose names give only the step.",
)
@click.option(
    "--out",
    type=FOLDER,
    help="Download each checkpoint into a folder below this one; without it, they are only listed.",
)
@click.option(
    "--sha256",
    "identities",
    multiple=True,
    metavar="REVISION=HEX",
    help="SHA-256 of a revision's SHA256SUMS, as its author published it elsewhere; may be repeated.",
)
@json_option
def fetch(
    repository: str,
    every: str | None,
    tokens_per_step: int | None,
    out: Path | None,
    identities: tuple[str, ...],
    as_json: bool,
) -> None:
    """List or download the checkpoints that a hub stores as revisions of a model.

    Weights, configs and tokenizer are fetched, in safetensors and JSON; no code and no pickle. `AutoModelForCausalLM`
    opens each folder of the Llama layout; for KORMo's own, register it first or use `kormo chat` and `kormo eval`.
    A checkpoint with a list of its files (SHA256SUMS) is only renamed into place if every file matches it.
    """
    expected = _identities(identities, out)
    revisions = hub_revisions.of_model(repository, tokens_per_step)
    chosen = hub_revisions.spaced(revisions, hub_revisions.amount(every)) if every else revisions
    _refuse_unknown(expected, [point.name for point in chosen], repository)
    fetched = {
        p.name: hub_revisions.fetch(repository, p, out, identity=expected.get(p.name)) if out else None for p in chosen
    }
    folders = {name: one and one.folder for name, one in fetched.items()}
    unlisted = [name for name, one in fetched.items() if one and one.sha256 is None]
    if unlisted:
        click.echo(f"kormo: not compared with anything: {', '.join(unlisted)} of {repository} has no {SUMS}", err=True)
    if as_json:
        return print_json(
            [
                {
                    "revision": p.name,
                    "step": p.step,
                    "tokens": p.tokens,
                    "path": folders[p.name],
                    "sha256": (one := fetched[p.name]) and one.sha256,
                }
                for p in chosen
            ]
        )
    rows = [
        (p.name, f"{p.step:,}", "" if p.tokens is None else f"{p.tokens:,}", str(folders[p.name] or "")) for p in chosen
    ]
    print_table(("revision", "step", "tokens", "folder"), rows)


def _identities(given: tuple[str, ...], out: Path | None) -> dict[str, str]:
    """Revision -> SHA-256 of its list, from `--sha256 REVISION=HEX`."""
    found = dict(text.rpartition("=")[::2] for text in given)
    wrong = [text for text in given if not re.fullmatch(r".+=[0-9a-fA-F]{64}", text)]
    if wrong or len(found) < len(given) or (given and out is None):
        raise KormoError(
            where="kormo checkpoint fetch --sha256",
            found=repr(wrong[0]) if wrong else "a revision twice" if out else "no --out",
            why="it takes the name of a revision and the 64 hexadecimal digits of its SHA256SUMS, with which the "
            "download is compared",
            do="write --out DIR --sha256 step-1000=HEX, as `kormo publish` printed it",
        )
    return found


def _refuse_unknown(expected: dict[str, str], chosen: list[str], repository: str) -> None:
    for name in expected.keys() - set(chosen):
        raise KormoError(
            where="kormo checkpoint fetch --sha256",
            found=name,
            why=f"no revision of that name would be fetched from {repository}",
            do=closest(name, chosen, "name one of those that are listed without --out"),
        )


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
