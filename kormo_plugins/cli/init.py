"""`kormo init`: creates a project folder with a short recipe that extends one of the package."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import click

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.shipped import SCHEME, shipped_names
from kormo_plugins.recipe.starter import SIZES, Start, files
from kormo_plugins.store.atomic import write_text


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="DIR")
@click.option("--size", type=click.Choice(SIZES), help="Size of the model; nano trains on a laptop.")
@click.option("--text", type=click.Path(path_type=Path), help="Folder of your documents; default: the embedded corpus.")
@click.option("--list", "list_", is_flag=True, help="Print every file that comes with the package, as recipes name it.")
def init(folder: Path | None, size: str | None, text: Path | None, list_: bool) -> None:
    """Write a folder DIR for a model of your own: recipe, dataset recipe, chain, README and .gitignore.

    On a terminal it prompts for missing options; otherwise it uses nano and the embedded corpus.
    """
    if list_:
        return click.echo("\n".join(SCHEME + name for name in shipped_names()))
    if folder is None:
        raise click.UsageError("Missing argument 'DIR'.")
    start = _asked(folder, size, text)
    made = files(start)
    _refuse_taken(folder, list(made))
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, content in made.items():
            write_text(folder / name, content)
    except BaseException:  # on a full disk, a second try would find these files
        for name in made:
            (folder / name).unlink(missing_ok=True)
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    click.echo(f"{folder}: {', '.join(made)}\nnext: cd {folder} && axolotl train recipe.yml")


def _asked(folder: Path, size: str | None, text: Path | None) -> Start:
    """The options; on a terminal, prompts for missing ones."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if size is None and terminal:
        size = click.prompt("Size of the model", type=click.Choice(SIZES), default=SIZES[0])
    if text is None and terminal:
        answer = click.prompt("Folder of your documents (empty: the embedded corpus)", default="", show_default=False)
        text = Path(answer).expanduser() if answer else None
    if text is not None and not text.is_dir():
        raise KormoError(
            where="kormo init --text",
            found=str(text),
            why="there is no such folder, and a recipe that names it could not be built",
            do="correct the path, or leave it out for the embedded corpus",
        )
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-.") or "model"
    return Start(name, size or SIZES[0], None if text is None else str(text.resolve()))


def _refuse_taken(folder: Path, names: list[str]) -> None:
    """Refuses to overwrite existing files."""
    taken = [name for name in names if (folder / name).exists()]
    if taken or (folder.exists() and not folder.is_dir()):
        raise KormoError(
            where=str(folder),
            found=", ".join(taken) or "a file",
            why="nothing that is there is overwritten",
            do="name another folder, or move these away",
        )
