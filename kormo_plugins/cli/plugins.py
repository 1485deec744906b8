"""`kormo plugins`: lists components and hooks, and creates a new plugin from a template."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kormo_plugins import hookspecs
from kormo_plugins.cli.support.output import json_option, print_json, print_table
from kormo_plugins.errors import KormoError, closest
from kormo_plugins.hookspecs import KINDS
from kormo_plugins.plugins.contract import parts
from kormo_plugins.plugins.parameters import models_in
from kormo_plugins.plugins.registry import registry
from kormo_plugins.plugins.template import write_template

if TYPE_CHECKING:
    from kormo_plugins.plugins.registry import Entry, Registry

kind_option = click.option("--kind", help="Only components of this kind (packing, reader, …).")
module_option = click.option(
    "--plugin", "modules", multiple=True, metavar="MODULE", help="Load this plugin module too, like kormo.plugins."
)


@click.group()
def plugins() -> None:
    """List installed components and hooks, and create plugins.

    KORMO_PLUGINS=off disables all but the built-in plugins, KORMO_PLUGINS=NAME,… blocks those named, and
    KORMO_TRACE_PLUGINS=1 shows every hook call with its time.
    """


@plugins.command("list")
@kind_option
@module_option
@json_option
def list_(kind: str | None, modules: tuple[str, ...], as_json: bool) -> None:
    """Every component: its kind, its name, and its distribution."""
    _check_kind(kind)
    found = registry(modules)
    rows = [_summary(entry) for entry in found.entries() if kind in (None, entry.kind)]
    if as_json:
        return print_json(rows)
    header = ("kind", "name", "distribution", "version", "from", "summary")
    print_table([name.upper() for name in header], [[row[name] for name in header] for row in rows])
    for blocked in found.blocked:
        click.echo(f"blocked by KORMO_PLUGINS: {blocked.module} ({blocked.distribution} {blocked.version})", err=True)


@plugins.command()
@click.argument("name")
@kind_option
@module_option
@json_option
def show(name: str, kind: str | None, modules: tuple[str, ...], as_json: bool) -> None:
    """The component NAME: its description, its parameters with their defaults, and its source file."""
    _check_kind(kind)
    found = registry(modules)
    entries = [e for e in found.entries() if e.component.name == name and kind in (None, e.kind)]
    if not entries:
        names = {entry.component.name for entry in found.entries() if kind in (None, entry.kind)}
        raise KormoError(
            where=f"kormo plugins show {name}",
            found=repr(name),
            why="no installed component has that name",
            do=closest(name, names) or "`kormo plugins list` shows all of them",
        )
    described = [_describe(found, entry) for entry in entries]
    if as_json:
        return print_json(described)
    for number, one in enumerate(described):
        if number:
            click.echo()
        _print_component(one)


@plugins.command()
@json_option
def hooks(as_json: bool) -> None:
    """The contract: every hook that a plugin can implement, from kormo_plugins/hookspecs.py."""

    rows: list[dict[str, Any]] = []
    for kind, hook in hookspecs.KINDS.items():
        function = getattr(hookspecs, hook)
        rows.append(
            {
                "hook": hook,
                "kind": kind,
                "signature": f"{hook}{inspect.signature(function)}".replace("'", ""),
                "arguments": list(inspect.signature(function).parameters),
                "doc": inspect.cleandoc(function.__doc__ or ""),
                "protocols": [asdict(part) for part in parts(hook)],
                "components": registry().names(kind),
            }
        )
    if as_json:
        return print_json(rows)
    for row in rows:
        click.echo(click.style(row["signature"], bold=True))
        click.echo("\n".join("    " + line for line in row["doc"].splitlines()))
        for part in row["protocols"]:
            click.echo(f"    {click.style(part['name'], bold=True)}: {part['doc']}")
            for member in part["members"]:
                click.echo(f"        {member['name']}{member['signature']}")
                click.echo("\n".join("            " + line for line in member["doc"].splitlines()))
        click.echo(f"    Installed: {', '.join(row['components']) or 'none'}\n")


@plugins.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the distribution. [default: name of the folder]")
@json_option
def new(folder: Path, name: str | None, as_json: bool) -> None:
    """Write a plugin distribution into FOLDER: a corpus step and a mixing policy, with passing tests."""
    made = write_template(folder, name or folder.resolve().name)
    if as_json:
        return print_json({"folder": folder, "distribution": made.distribution, "files": made.files})
    for file in made.files:
        click.echo(folder / file)
    click.echo(
        f"\nInstall it and run its tests:  pip install -e {folder} && pytest {folder}\nThen `kormo plugins list`."
    )


def _check_kind(kind: str | None) -> None:
    if kind and kind not in KINDS:
        raise KormoError(
            where="kormo plugins: --kind",
            found=repr(kind),
            why=f"the kinds are: {', '.join(KINDS)}",
            do=closest(kind, KINDS) or "give one of those",
        )


def _summary(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.component.name,
        "summary": entry.component.summary,
        "distribution": entry.distribution,
        "version": entry.version,
        "from": entry.origin,
        "module": entry.module,
        "source": entry.component.source,
    }


def _describe(found: Registry, entry: Entry) -> dict[str, object]:
    """A component's description as JSON values; imports it."""
    component = entry.component
    loaded = found.load(entry.kind, component.name)
    model = found.model(entry.kind, component.name)
    return {
        **_summary(entry),
        "load": component.load if isinstance(component.load, str) else repr(component.load),
        "file": _place(loaded),
        "doc": inspect.getdoc(loaded) or "",
        "parameters": list(_parameters(model)) if model else [],
    }


def _parameters(model: Any, prefix: str = "") -> Iterator[dict[str, object]]:
    """The fields of a pydantic model and of nested models, by dotted key."""
    for name, field in model.model_fields.items():
        yield _parameter(f"{prefix}{name}", field)
        for inner in models_in(field.annotation):
            yield from _parameters(inner, f"{prefix}{name}.")


def _parameter(name: str, field: Any) -> dict[str, object]:
    """A field of a pydantic model as JSON values; without `default` if it is required."""
    annotation = field.annotation
    hint = annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
    entry = {"name": name, "type": hint, "required": field.is_required(), "description": field.description or ""}
    return entry if field.is_required() else entry | {"default": field.get_default(call_default_factory=True)}


def _place(loaded: object) -> str:
    """`file:line` of a component's code; empty if there is none (a built-in function)."""
    code = loaded if inspect.isroutine(loaded) or inspect.isclass(loaded) else type(loaded)
    try:
        return f"{inspect.getsourcefile(code)}:{inspect.getsourcelines(code)[1]}"
    except (TypeError, OSError):
        return ""


def _print_component(one: dict[str, Any]) -> None:
    click.echo(click.style(f"{one['kind']} {one['name']}", bold=True) + f": {one['summary']}")
    click.echo(f"  from    {one['distribution']} {one['version']} ({one['from']}), {one['file'] or one['load']}")
    if one["source"]:
        click.echo(f"  source  {one['source']}")
    if one["doc"]:
        click.echo("\n" + "\n".join("  " + line for line in one["doc"].splitlines()))
    click.echo("\n  parameters" if one["parameters"] else "\n  no parameters")
    for parameter in one["parameters"]:
        value = "required" if parameter["required"] else f"default {parameter['default']!r}"
        click.echo(f"    {parameter['name']}: {parameter['type']}, {value}")
        if parameter["description"]:
            click.echo(f"        {parameter['description']}")
