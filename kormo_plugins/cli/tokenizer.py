"""`kormo tokenizer`: trains a tokenizer on files, and compares tokenizers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.cli.support.values import ManyValues
from kormo_plugins.errors import KormoError, in_words, writing
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.files.resolve import resolve_data
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.store.lease import new_folder
from kormo_plugins.tokenizer.comparison.page import table, write_page
from kormo_plugins.tokenizer.comparison.report import report as measure
from kormo_plugins.tokenizer.params import named
from kormo_plugins.tokenizer.texts import SUFFIXES, read_texts, unread
from kormo_plugins.wording.numbers import many

LOG = logging.getLogger(__name__)
NAMED = 5
"""Paths that a warning names."""

text_option = click.option(
    "--text",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    metavar="FILES…",
    help="Files of text, JSONL or JSONL.zst, or folders of them.",
)


@click.group()
def tokenizer() -> None:
    """Train tokenizers and measure them."""


@tokenizer.command(cls=ManyValues)
@click.argument("recipe", type=click.Path(path_type=Path))
@text_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to create.")
@json_option
def train(recipe: Path, files: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Train the tokenizer of RECIPE on files.

    RECIPE is a tokenizer recipe (datasets_recipes/tokenizer.yml), or a recipe with kormo.tokenizer.train.
    """
    name, params, components, where = _choice(recipe)
    learn = components.load("tokenizer", name)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise KormoError(
            where="kormo tokenizer train: --out",
            found=f"{out}, which is not empty",
            why="a tokenizer needs a folder of its own",
            do="name a new folder, or remove this one",
        )
    _check_files("kormo tokenizer train", files)
    try:
        with writing(out), new_folder(out) as partial:
            result = learn(lambda: read_texts(files), params, partial) or {}
    except KormoError as error:
        raise named(error, where) from None
    if as_json:
        return print_json(result)
    click.echo(f"{out}: {result.get('size', 'unknown number of'):,} ids, hash {str(result.get('hash'))[:12]}")
    click.echo("name it in a recipe: kormo: {tokenizer: {path: " + str(out) + "}}")


@tokenizer.command(cls=ManyValues)
@click.argument("names", nargs=-1, required=True, metavar="TOKENIZER…")
@text_option
@click.option(
    "--terms", type=click.Path(path_type=Path), help="File of words to look up in the vocabulary, one per line."
)
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Also write a page of plots.")
@json_option
def report(
    names: tuple[str, ...], files: tuple[Path, ...], terms: Path | None, page: Path | None, as_json: bool
) -> None:
    """Measure each TOKENIZER (a folder, a hub id, or `tekken`) on the same text.

    Use text that none of them was trained on.
    """
    if page is not None and not page.parent.is_dir():
        raise KormoError(
            where="kormo tokenizer report: --page",
            found=f"{page}",
            why=f"there is no folder {page.parent}",
            do="create it",
        )
    _check_files("kormo tokenizer report", files)
    result = measure(names, files, _terms(terms) if terms else ())
    if page is not None:
        write_page(result, page)
        click.echo(f"{page}: written", err=True)
    if as_json:
        return print_json(result)
    click.echo(f"{many(result['documents'], 'document')}, {many(result['bytes'], 'byte')}")
    for reason, count in result["rejected"].items():
        click.echo(f"excluded: {count:,} ({reason})")
    click.echo(table(result))
    for name, one in result["tokenizers"].items():
        click.echo(
            f"\n{name}: {one['unused']:,} of {one['size']:,} ids unused; longest: {', '.join(one['longest'][:8])}"
        )
        for term, found in one["terms"].items():
            click.echo(f"  {term}: in {found['tokens']:,} ids, used {found['uses']:,} times")


def _choice(recipe: Path) -> tuple[str, object, Any, str]:
    """Name and parameters of the file's tokenizer, the registry that contains it, and their location in the file."""
    own = read_yaml(recipe)
    if "kormo" in own or "plugins" in own:
        loaded = load_recipe(recipe)
        values, components = dict((loaded.block.tokenizer and loaded.block.tokenizer.train) or {}), loaded.registry
        where = f"{recipe}: kormo.tokenizer.train"
    else:
        values, components, where = dict(resolve_data(recipe).values), registry(), str(recipe)
    name = values.pop("name", None)
    if not isinstance(name, str):
        raise KormoError(
            where=f"{where}: name",
            found=repr(name) if name else "nothing",
            why="`name` selects the tokenizer to train",
            do=f"set it to one of: {', '.join(components.names('tokenizer'))}",
        )
    return name, components.params("tokenizer", name, values, where), components, where


def _check_files(command: str, files: tuple[Path, ...]) -> None:
    for file in files:
        if not file.exists():
            raise KormoError(
                where=f"{command}: --text", found=str(file), why="there is no such file", do="check the path"
            )
    if others := unread(files):
        names = ", ".join(map(str, others[:NAMED])) + (", …" if len(others) > NAMED else "")
        LOG.warning(
            "%s: not read: %s; of a folder only %s are read, and no folders inside", command, names, ", ".join(SUFFIXES)
        )


def _terms(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise KormoError(
            where="kormo tokenizer report: --terms",
            found=f"{path}: {in_words(error)}",
            why="it must be UTF-8 text with one word per line",
            do="check the path and its encoding",
        ) from None
