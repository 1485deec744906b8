"""Output of commands: JSON for programs, aligned columns for people."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence

import click

from kormo_plugins.console.table import aligned

_STDOUT = "kormo.stdout"
"""Key of the context's `meta` for the real stdout."""


def _only_json(context: click.Context, option: click.Parameter, chosen: bool) -> bool:
    """Redirects output of libraries (DeepSpeed logs to stdout) to stderr while the command runs."""
    if chosen:
        context.meta[_STDOUT] = sys.stdout
        context.with_resource(contextlib.redirect_stdout(sys.stderr))
    return chosen


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_only_json, help="Print JSON, and nothing else, on stdout."
)


def print_json(value: object) -> None:
    """Prints one JSON document on the real stdout; paths become strings."""
    context = click.get_current_context(silent=True)
    stdout = context.meta.get(_STDOUT) if context else None
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str), file=stdout)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints columns as wide as their widest cell, the last one unpadded."""
    click.echo(aligned(header, rows))
