"""The `kormo` command: one noun per file or folder, imported on use.

A noun is one line in `NOUNS` and one file or folder here. No noun is imported before a command runs, so that
`kormo --help` is fast. Bad input is reported here, as four lines on stderr with exit status 2; with `--json` a command
prints only JSON on stdout.

The same group is `axolotl kormo …`.
"""

from __future__ import annotations

import os
import sys

import click

from kormo_plugins import __version__
from kormo_plugins.cli.support.lazy_group import LazyGroup
from kormo_plugins.console.bug import report_this
from kormo_plugins.console.collector import spare_collections
from kormo_plugins.console.signals import Terminated, ending, raise_on_sigterm, received
from kormo_plugins.errors import EXIT_BAD_INPUT, KormoError, closest, disk_error_in, system_error
from kormo_plugins.plugins.pydantic_plugins import search_quickly

NOUNS: dict[str, tuple[str, str]] = {
    "ablate": ("kormo_plugins.cli.ablate:ablate", "Train every variant in FILE with every seed, and compare them."),
    "chat": ("kormo_plugins.cli.chat:chat", "Talk to the model of RUN: a finished run, a checkpoint or an export."),
    "checkpoint": ("kormo_plugins.cli.checkpoint:checkpoint", "List, convert, consolidate and fetch checkpoints."),
    "data": ("kormo_plugins.cli.data.commands:data", "Build, inspect and verify the data of a recipe."),
    "eval": (
        "kormo_plugins.cli.eval.commands:evaluate",
        "Score a checkpoint on benchmarks and on needle in a haystack.",
    ),
    "export": ("kormo_plugins.cli.export:export", "Convert a checkpoint to another layout."),
    "init": (
        "kormo_plugins.cli.init:init",
        "Write a folder DIR for a model of your own: recipe, dataset recipe, chain, README and .gitignore.",
    ),
    "ladder": (
        "kormo_plugins.cli.ablate:ladder",
        "Train the sizes in FILE, fit a scaling law, and predict the next size before it is trained.",
    ),
    "plugins": (
        "kormo_plugins.cli.plugins:plugins",
        "List installed components and hooks, and create plugins.",
    ),
    "publish": ("kormo_plugins.cli.publish:publish", "Upload a finished run to a model hub, checkpoints as revisions."),
    "recipe": ("kormo_plugins.cli.recipe.commands:recipe", "Show and check recipes."),
    "release": ("kormo_plugins.cli.release:release", "Write a folder with which others can verify and repeat a run."),
    "report": (
        "kormo_plugins.cli.report:report",
        "Write a page on a run, a chain, an ablation, or several runs side by side.",
    ),
    "reproduce": ("kormo_plugins.cli.release:reproduce", "Check a release, or build it again and compare."),
    "run": ("kormo_plugins.cli.run:run", "Run the stages of CHAIN, a file of recipes/chains/."),
    "tokenizer": ("kormo_plugins.cli.tokenizer:tokenizer", "Train tokenizers and measure them."),
    "train": ("kormo_plugins.cli.train:train", "Train RECIPE with some of its values changed."),
}
"""Noun -> (`module:command`, one line of help)."""


CONTINUES = {
    ("ablate",),
    ("checkpoint", "fetch"),
    ("data", "build"),
    ("data", "fetch"),
    ("data", "publish"),
    ("eval",),
    ("ladder",),
    ("publish",),
    ("run",),
    ("train",),
}
"""Commands that find what they had finished when they are run again; the others begin anew."""


WORDS = "kormo_plugins.words"
"""Key of click's `meta` for the words of the command line."""


class Nouns(LazyGroup):
    """A group that imports nouns on use and converts errors to messages."""

    table = NOUNS

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with the nearest noun in the error message."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            ctx.fail(f"No such command {args[0]!r}. {closest(args[0], NOUNS)}".strip())
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of nouns from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, NOUNS[name][1]) for name in sorted(NOUNS)])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As in click; stores the words, for errors without a file name."""
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; prints a KormoError and exits with status 2."""
        try:
            return super().invoke(ctx)
        except KormoError as error:
            if received():  # usually a worker that also received the signal
                raise Terminated from error
            if _with_traceback(ctx):
                raise
            click.echo(error.render(), err=True)
            ctx.exit(EXIT_BAD_INPUT)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if received():
                raise Terminated from error
            command = f"kormo {ctx.invoked_subcommand or ''}".strip()
            message = _of_the_system(error, command, ctx.meta[WORDS])
            if message is not None and not _with_traceback(ctx):
                click.echo(message.render(), err=True)
                ctx.exit(EXIT_BAD_INPUT)
            if message is None:
                click.echo(report_this(), err=True)
            if isinstance(error, EOFError):  # which click would take for the end of the user's input
                raise RuntimeError("unexpected end of a file") from error
            raise


def _of_the_system(error: Exception, command: str, words: list[str]) -> KormoError | None:
    if isinstance(error, OSError):
        return system_error(error, command, words)
    return disk_error_in(error, words)


def _with_traceback(ctx: click.Context) -> bool:
    return bool(ctx.params.get("traceback")) or os.environ.get("KORMO_TRACEBACK", "0") not in ("", "0")


@click.group(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kormo")
@click.option("--traceback", is_flag=True, help="Show the traceback of an error (also: KORMO_TRACEBACK=1).")
def cli(traceback: bool) -> None:
    """KORMo for Axolotl: inspect plugins, recipes, data and runs.

    Training itself is `axolotl train RECIPE`.
    """


def stopped(words: list[str]) -> str:
    """What to tell after SIGTERM.

    Args:
        words: of the command line, without the program.
    """
    names = tuple(word for word in words if not word.startswith("-"))
    if any(names[: len(command)] == command for command in CONTINUES):
        return "kormo: stopped by SIGTERM; finished work is kept, and the same command continues"
    return "kormo: stopped by SIGTERM; what was not finished is not kept, and the same command begins anew"


def main() -> None:
    """Entry point of the console script."""
    raise_on_sigterm()
    spare_collections()
    search_quickly()
    try:
        cli(prog_name="kormo")
    except Terminated as end:
        ending()
        print(stopped(sys.argv[1:]), file=sys.stderr)
        sys.exit(end.code)
    except BrokenPipeError:  # `kormo … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
