"""`kormo train`: `axolotl train` with any key of the recipe changed on the command line.

Axolotl's own options only cover its top-level keys. Here every key can be changed, and is checked before anything
starts. The resulting recipe is written into the run's folder, and `axolotl train` replaces this process, so that
signals and exit statuses are Axolotl's.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from kormo_plugins.errors import Faults, KormoError
from kormo_plugins.recipe.checks.length import shorter_than_checkpoint
from kormo_plugins.recipe.files.override import changed, parse, recipe_yaml, text_of, write
from kormo_plugins.recipe.files.paths import from_here
from kormo_plugins.runs.occupancy import refuse_occupied

REQUESTED = "requested.yml"
"""The changed recipe in the run's folder; `recipe.yml` beside it is written when training starts."""


class AfterDashes(click.Command):
    """A command that separates the words after `--`, which belong to the launcher."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As in click, for the words before `--`."""
        end = args.index("--") if "--" in args else len(args)
        ctx.obj = args[end + 1 :]
        return super().parse_args(ctx, args[:end])


@click.command(cls=AfterDashes, options_metavar="[OPTIONS]")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE…] [-- LAUNCHER OPTIONS]")
@click.option(
    "--launcher", type=click.Choice(["accelerate", "torchrun", "python"]), help="Launcher, as for `axolotl train`."
)
@click.option("--dry-run", is_flag=True, help="Print the resulting recipe; start nothing.")
@click.pass_context
def train(ctx: click.Context, recipe: Path, changes: tuple[str, ...], launcher: str | None, dry_run: bool) -> None:
    """Train RECIPE with some of its values changed.

    \b
        kormo train recipes/pretrain.yml learning_rate=1e-3 kormo.tokens=100000
        kormo train recipes/10b/pretrain.yml seed=7 --launcher torchrun -- --nproc_per_node=8

    A key is a dotted path into the recipe, `[0]` an element of a list, a value is YAML: `null`, `[a, b]`, `{a: 1}`.
    """
    overrides = parse(changes, recipe)
    resolved = changed(recipe, overrides)
    if dry_run:
        click.echo(recipe_yaml(from_here(resolved.resolved)), nl=False)
        return
    Faults(shorter_than_checkpoint(resolved)).raise_any()  # Axolotl's imports take long; this takes nothing
    program = axolotl()  # before anything is written
    requested = resolved.output_dir / REQUESTED
    if not says(requested, text_of(resolved, overrides)):  # all nodes of a run are started with the same command
        refuse_occupied(resolved.output_dir)
        write(resolved, overrides, requested)
    become([program, "train", str(requested), *launcher_words(launcher, ctx.obj)])


def says(path: Path, text: str) -> bool:
    """Whether the file exists with exactly this text."""
    try:
        return path.read_bytes() == text.encode("utf-8")
    except OSError:
        return False


def launcher_words(launcher: str | None, words: list[str]) -> list[str]:
    """The end of Axolotl's command line. `-- --launcher torchrun …` is accepted as well as `--launcher torchrun --`.

    Args:
        launcher: the option of this command, if given.
        words: the words after `--`.
    """
    if launcher is None and words[:1] == ["--launcher"] and len(words) > 1:
        launcher, words = words[1], [word for word in words[2:3] if word != "--"] + words[3:]
    return [*(["--launcher", launcher] if launcher else []), *(["--", *words] if words else [])]


def axolotl() -> str:
    """Path of the `axolotl` program of this environment.

    Raises:
        KormoError: not found.
    """
    beside = Path(sys.executable).parent / "axolotl"
    program = str(beside) if beside.is_file() else shutil.which("axolotl")
    if program is None:
        raise KormoError(
            where="kormo train",
            found="no program `axolotl`",
            why="`kormo train` runs it",
            do="pip install kormo-plugins",
        )
    return program


def become(command: list[str]) -> object:
    """Replaces this process. This environment comes first on PATH, since Axolotl starts its launcher by name."""
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", os.defpath)])
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, {**os.environ, "PATH": path})
