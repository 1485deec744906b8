"""`kormo release` and `kormo reproduce`: results that others can verify and repeat."""

from __future__ import annotations

import re
from pathlib import Path

import click

from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.cli.train import axolotl
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.built import say
from kormo_plugins.release.collect import changed_cards, read_index, recipes_gone
from kormo_plugins.release.collect import release as collect
from kormo_plugins.release.rebuild import Plan, build, repeat_steps
from kormo_plugins.release.signature import sign as sign_list
from kormo_plugins.release.verify import Author, differences_here
from kormo_plugins.release.verify import check as verify
from kormo_plugins.store.sums import Finding

FOLDER = click.Path(path_type=Path)
DIFFERENT = 1
"""Exit status if a release has faults or cannot be reproduced."""


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option(
    "--checkpoint",
    "steps",
    multiple=True,
    type=int,
    metavar="STEP",
    help="Include this checkpoint, from which others can repeat steps; may be repeated.",
)
@click.option(
    "--sign", "key", type=FOLDER, metavar="KEY", help="Sign SHA256SUMS with this SSH key (writes SHA256SUMS.sig)."
)
@json_option
def release(run: Path, folder: Path, steps: tuple[int, ...], key: Path | None, as_json: bool) -> None:
    """Write a folder with which others can verify and repeat a run.

    RUN is a run's folder or a chain's; DIR gets everything that others need.

    Recipes as written and resolved, code and package versions, hashes of every artifact, seeds, metrics, scores, cards,
    licences, a software bill of materials, and SHA256SUMS over all of it.
    """
    identity = collect(run, folder, steps)
    if key is not None:
        sign_list(folder, key)
    for card in changed_cards(run):
        was, has = ("changed", "it as it is now") if card.is_file() else ("removed", "no card of the run")
        click.echo(f"kormo: {card} was {was} after the run had ended; the release holds {has}", err=True)
    for recipe in recipes_gone(run):
        click.echo(f"kormo: {recipe} no longer exists; the release holds only its resolved values", err=True)
    if as_json:
        return print_json({"path": folder, "identity": identity, "runs": [r.name for r in read_index(folder)]})
    click.echo(f"{folder}: {', '.join(r.name for r in read_index(folder))}")
    click.echo(f"identity {identity} (SHA-256 of its SHA256SUMS): publish it where the release itself is not")


@click.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option("--check", "mode", flag_value="check", default=True, help="Verify files and records. [default]")
@click.option("--build", "mode", flag_value="build", help="Rebuild everything from its sources and compare.")
@click.option("--steps", metavar="A-B", help="Repeat the steps after A up to B, from the release's checkpoint A.")
@click.option("--run", "name", metavar="NAME", help="With --steps: name of the run in the release.")
@click.option("--identity", metavar="SHA256", help="Identity of the release, as published by its author.")
@click.option("--signed-by", "key", type=FOLDER, metavar="KEY.pub", help="The author's SSH key, published elsewhere.")
@click.option("--signer", metavar="ID", help="Signer of the sigstore bundle: an e-mail address or a workflow.")
@click.option("--issuer", metavar="URL", help="With --signer: the issuer of that identity.")
@click.option("--out", type=FOLDER, help="New folder to build in; required with --build and --steps.")
@click.option(
    "--tolerance", default=0.0, show_default=True, help="Maximum relative difference of losses; 0: bit-identical."
)
@json_option
def reproduce(
    folder: Path,
    mode: str,
    steps: str | None,
    name: str | None,
    identity: str | None,
    key: Path | None,
    signer: str | None,
    issuer: str | None,
    out: Path | None,
    tolerance: float,
    as_json: bool,
) -> None:
    """Check a release, or build it again and compare.

    With --build or --steps the release in DIR is repeated, and the first difference is reported.

    The exit status is 1 if there is a difference.
    """
    found = verify(folder, Author(identity, key, signer, issuer))
    environment = list(differences_here(folder)) if not found else []
    if not found and (steps is not None or mode == "build"):
        plan = Plan(
            folder, _new(out), lambda recipe: [axolotl(), "train", str(recipe), "--launcher", "python"], tolerance, say
        )
        found = build(plan) if steps is None else repeat_steps(plan, *_window(steps), name)
    _show(found, environment, as_json)
    raise click.exceptions.Exit(DIFFERENT if found else 0)


def _show(found: list[Finding], environment: list[Finding], as_json: bool) -> None:
    if as_json:
        return print_json({"differs": [str(f) for f in found], "environment": [str(f) for f in environment]})
    for finding in environment:
        click.echo(f"this machine differs from the release: {finding}", err=True)
    for finding in found:
        click.echo(f"differs: {finding}")
    if not found:
        click.echo("nothing differs")


def _new(out: Path | None) -> Path:
    if out is None or (out.exists() and any(out.iterdir())):
        raise KormoError(
            where="kormo reproduce --out",
            found="nothing" if out is None else f"{out}, which is not empty",
            why="a rebuild needs a new folder, so that nothing is reused",
            do="name a new folder",
        )
    return out


def _window(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)-(\d+)", text)
    if match is None:
        raise KormoError(
            where="kormo reproduce --steps",
            found=repr(text),
            why="it takes a first and a last step",
            do="write 100-200",
        )
    return int(match[1]), int(match[2])
