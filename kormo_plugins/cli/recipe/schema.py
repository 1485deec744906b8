"""`kormo recipe schema`: JSON Schemas of all configuration files, for editors."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kormo_plugins.experiments.ablation.spec import AblationSpec
from kormo_plugins.experiments.chain.spec import ChainFile
from kormo_plugins.experiments.ladder.spec import LadderSpec
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.schema import editor
from kormo_plugins.recipe.schema.json_schema import DRAFT, json_schema
from kormo_plugins.store.atomic import write_text

FILE_KINDS = ("recipe", "data", "tokenizer", "chain", "ablation", "ladder")


@click.command()
@click.option("--kind", type=click.Choice(FILE_KINDS), default="recipe", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write to this file instead of stdout.")
@click.option(
    "--mark",
    "places",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    metavar="PATH",
    help="Write all schemas into .kormo/, and link them in the recipes in PATH.",
)
@click.option(
    "--plugin", "modules", multiple=True, metavar="MODULE", help="Load this plugin module too, like kormo.plugins."
)
def schema(kind: str, out: Path | None, places: tuple[Path, ...], modules: tuple[str, ...]) -> None:
    """JSON Schema of recipes: Axolotl's keys, ours, and those of every installed component.

    \b
        kormo recipe schema --mark recipes --mark datasets_recipes

    makes editors with a YAML language server complete, document and check the recipes in these folders.
    """
    if places:
        for path in editor.write_schemas({name: schema_of(name, modules) for name in FILE_KINDS}):
            click.echo(f"{path}: written", err=True)
        for path in editor.files_in(places):
            if editor.link_schema(path):
                click.echo(f"{path}: marked", err=True)
        return
    text = json.dumps(schema_of(kind, modules), ensure_ascii=False, indent=1)
    if out is None:
        return click.echo(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text + "\n")


def schema_of(kind: str, modules: tuple[str, ...] = ()) -> dict[str, object]:
    """The JSON Schema of a kind of file, including the components of `modules`."""
    if kind == "chain":
        return {"$schema": DRAFT, **ChainFile.model_json_schema()}
    if kind == "ablation":
        return {"$schema": DRAFT, **AblationSpec.model_json_schema()}
    if kind == "ladder":
        return {"$schema": DRAFT, **LadderSpec.model_json_schema()}
    return json_schema(kind, registry(modules))
