"""The `kormo` command: one noun per file or folder, imported when it is used.

A noun is one line in `NOUNS` and one file or folder here. Nothing above this floor is imported before a command runs,
so that `kormo --help` answers at once. Bad input ends here, as four lines on stderr and exit status 2; what a
command prints on stdout with `--json` is JSON and nothing else.

The same group is `axolotl kormo …`.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

import click

from kormo_plugins import __version__
from kormo_plugins.console.bug import report_this
from kormo_plugins.console.signals import Terminated, ending, raise_on_sigterm, received
from kormo_plugins.errors import EXIT_BAD_INPUT, KormoError, closest, system_error, system_error_in

NOUNS: dict[str, tuple[str, str]] = {
    "ablate": ("kormo_plugins.cli.ablate:ablate", "Train every variant in FILE with every seed, and compare them."),
    "chat": ("kormo_plugins.cli.chat:chat", "Talk to the model of RUN: a finished run, a checkpoint or an export."),
    "checkpoint": ("kormo_plugins.cli.checkpoint:checkpoint", "Look at checkpoints, convert and consolidate them."),
    "data": ("kormo_plugins.cli.data.commands:data", "Build, look at and check the data of a recipe."),
    "eval": (
        "kormo_plugins.cli.eval.commands:evaluate",
        "Score a checkpoint on benchmarks, and find needles in haystacks.",
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
        "What is installed, what a recipe can name, and how to add to it.",
    ),
    "publish": ("kormo_plugins.cli.publish:publish", "Send a finished run to a model hub, checkpoints as revisions."),
    "recipe": ("kormo_plugins.cli.recipe:recipe", "Show and check recipes."),
    "release": ("kormo_plugins.cli.release:release", "Write a folder with which others can check and repeat a run."),
    "report": (
        "kormo_plugins.cli.report:report",
        "A page on a run, a chain, an ablation, or several runs side by side.",
    ),
    "reproduce": ("kormo_plugins.cli.release:reproduce", "Check a release, or build it again and compare."),
    "run": ("kormo_plugins.cli.run:run", "Run the stages of CHAIN, a file of recipes/chains/."),
    "tokenizer": ("kormo_plugins.cli.tokenizer:tokenizer", "Train tokenizers and measure them."),
    "train": ("kormo_plugins.cli.train:train", "Train RECIPE with some of its values changed."),
}
"""Noun -> (`module:command`, one line of help)."""


class Nouns(click.Group):
    """A group that imports a noun when it is used and turns errors into messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The nouns, in alphabetical order."""
        return sorted({*NOUNS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The noun, imported now; None when there is none."""
        if cmd_name not in NOUNS:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = NOUNS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with the nearest noun in the message."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            ctx.fail(f"No such command {args[0]!r}. {closest(args[0], NOUNS)}".strip())
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of nouns, from the table, with none of them imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, NOUNS[name][1]) for name in sorted(NOUNS)])

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; a KormoError becomes its message and exit status 2."""
        try:
            return super().invoke(ctx)
        except KormoError as error:
            if received():  # a worker that got the signal too, most often
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
            told = system_error(error, command) if isinstance(error, OSError) else system_error_in(error, command)
            if told is not None and not _with_traceback(ctx):
                click.echo(told.render(), err=True)
                ctx.exit(EXIT_BAD_INPUT)
            if told is None:
                click.echo(report_this(), err=True)
            raise


def _with_traceback(ctx: click.Context) -> bool:
    return bool(ctx.params.get("traceback")) or os.environ.get("KORMO_TRACEBACK", "0") not in ("", "0")


@click.group(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kormo")
@click.option("--traceback", is_flag=True, help="Show the traceback of an error (also: KORMO_TRACEBACK=1).")
def cli(traceback: bool) -> None:
    """KORMo for Axolotl: look at plugins, recipes, data and runs.

    Training itself is `axolotl train RECIPE`.
    """


def main() -> None:
    """Entry point of the console script."""
    raise_on_sigterm()
    gc.set_threshold(
        100_000, 50, 50
    )  # imports make many objects that stay: a tenth of a short command was looking at them
    try:
        cli(prog_name="kormo")
    except Terminated as end:
        ending()
        print("kormo: stopped by SIGTERM; what is finished is kept, and the same command goes on", file=sys.stderr)
        sys.exit(end.code)
    except BrokenPipeError:  # `kormo … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
