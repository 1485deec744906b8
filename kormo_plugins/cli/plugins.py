"""`kormo plugins`: what is installed, and what a recipe can name."""

from __future__ import annotations

import click

from kormo_plugins.cli.output import json_option, print_json, print_table


@click.group()
def plugins() -> None:
    """What is installed, and what a recipe can name."""


@plugins.command("list")
@click.option("--kind", help="Only components of this kind (packing, reader, …).")
@click.option(
    "--plugin",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Load this module too, as kormo.plugins does.",
)
@json_option
def list_(kind: str | None, modules: tuple[str, ...], as_json: bool) -> None:
    """Every component: its kind, its name, and the distribution that it comes from."""
    from kormo_plugins.errors import KormoError, closest
    from kormo_plugins.hookspecs import KINDS
    from kormo_plugins.registry import registry

    if kind and kind not in KINDS:
        raise KormoError(
            "kormo plugins list: --kind",
            repr(kind),
            f"the kinds are: {', '.join(KINDS)}",
            closest(kind, KINDS) or "give one of those",
        )
    entries = [entry for entry in registry(modules).entries() if kind in (None, entry.kind)]
    rows = [
        {
            "kind": entry.kind,
            "name": entry.component.name,
            "summary": entry.component.summary,
            "distribution": entry.distribution,
            "version": entry.version,
            "from": entry.origin,
            "module": entry.module,
            "source": entry.component.source,
        }
        for entry in entries
    ]
    if as_json:
        print_json(rows)
    else:
        header = ("kind", "name", "distribution", "version", "from", "summary")
        print_table([name.upper() for name in header], [[row[name] for name in header] for row in rows])
