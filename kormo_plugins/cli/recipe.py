"""`kormo recipe`: what a recipe says once all that it inherits is put in, and whether it is sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.errors import EXIT_BAD_INPUT, KormoError, Notice, each
from kormo_plugins.pipeline.built import lookup_only
from kormo_plugins.recipe.files.resolve import resolve, resolve_data
from kormo_plugins.recipe.files.tree import Leaf, leaves
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.store.atomic import write_text

if TYPE_CHECKING:
    from kormo_plugins.recipe.cost.shares import Counted
    from kormo_plugins.recipe.files.resolve import Resolved
    from kormo_plugins.recipe.files.tree import Block, Leaf
    from kormo_plugins.recipe.load import Recipe

COMMENT_COLUMN = 48
FILE_KINDS = ("recipe", "data", "tokenizer", "chain", "ablation", "ladder")


@click.group()
def recipe() -> None:
    """Show and check recipes."""


@recipe.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--origins", is_flag=True, help="Say behind each key which file set it.")
@json_option
def show(file: Path, origins: bool, as_json: bool) -> None:
    """The recipe in FILE with all that it inherits, as Axolotl and KORMo will see it."""
    resolved = _resolved(file)
    if as_json:
        found: dict[str, object] = {"path": file, "files": resolved.files, "values": resolved.values}
        if origins:
            found["origins"] = {".".join(map(str, keys)): leaf.file for keys, leaf in leaves(resolved.tree)}
        print_json(found)
        return
    click.echo(f"# {file}: " + " + ".join(map(str, resolved.files)))
    for line in yaml_lines(resolved.tree, origins):
        click.echo(line)


@recipe.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE…")
@click.option("--full", is_flag=True, help="Run Axolotl's own validators as well (imports torch: seconds).")
@json_option
def validate(files: tuple[Path, ...], full: bool, as_json: bool) -> None:
    """Check recipes, or dataset recipes: every key, value and component, and what they mean together.

    All faults are reported at once, sorted by place; warnings are what is allowed and probably not meant. `-` reads
    standard input. The exit status is 2 if any of them is refused.
    """
    from kormo_plugins.recipe.checks.validate import validate as check

    results: list[dict[str, object]] = []
    for file in files:
        try:
            report = check(file, full=_to_axolotl if full else None)
        except KormoError as error:
            faults = [_parts(fault) for fault in each(error)]
            results.append({"path": file, "ok": False, "error": faults[0], "errors": faults})
            if not as_json:
                click.echo(error.render(), err=True)
            continue
        results.append(
            {
                "path": file,
                "ok": True,
                "kind": report.kind,
                "keys": report.keys,
                "files": report.files,
                "full": full,
                "warnings": [_parts(warning) for warning in report.warnings],
            }
        )
        if not as_json:
            for warning in report.warnings:
                click.echo(warning.render(), err=True)
            click.echo(f"{file}: sound ({report.kind}, {report.keys} values from {_files(len(report.files))})")
    if as_json:
        print_json(results)
    if not all(result["ok"] for result in results):
        raise click.exceptions.Exit(EXIT_BAD_INPUT)


def _parts(told: KormoError | Notice) -> dict[str, str]:
    return {"where": told.where, "found": told.found, "why": told.why, "do": told.do}


@recipe.command()
@click.option("--markdown", is_flag=True, help="As a table for a document.")
@json_option
def keys(markdown: bool, as_json: bool) -> None:
    """What becomes of each of Axolotl's keys in a recipe that trains on kormo.data."""
    from kormo_plugins.recipe.checks.axolotl_keys.fate_text import markdown_table, rows

    if as_json:
        return print_json([row.as_json() for row in rows()])
    if markdown:
        return click.echo(markdown_table())
    for row in rows():
        click.echo(f"{row.key}: {row.kind}{'; ' * bool(row.told)}{row.told}")


@recipe.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="RECIPE")
@click.option("--gpus", default=1, show_default=True, help="Number of GPUs, one rank each.")
@click.option("--gpu", default="h100", show_default=True, help="Which: h100, h200, a100, b200, l40s, rtx4090, cpu, …")
@click.option("--mfu", default=0.4, show_default=True, help="Share of the peak FLOP/s that training will reach.")
@json_option
def plan(file: Path, gpus: int, gpu: str, mfu: float, as_json: bool) -> None:
    """What training RECIPE will take: tokens, FLOPs, hours, disk, and the memory of each GPU by part.

    Where the memory is not enough, it names keys and values with which it would be.
    """
    from kormo_plugins.recipe.cost.machine import Machine
    from kormo_plugins.recipe.cost.plan import plan as plan_of
    from kormo_plugins.recipe.cost.plan_text import text
    from kormo_plugins.recipe.load import load_recipe

    found = plan_of(load_recipe(file), Machine(gpus, gpu, mfu))
    if as_json:
        return print_json(found.as_json())
    for line in text(found):
        click.echo(line)


@recipe.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--gpus", default=1, show_default=True, help="Number of GPUs, for memory and hours.")
@click.option("--gpu", default="h100", show_default=True, help="Which, as for `kormo recipe plan`.")
@click.option("--mfu", default=0.4, show_default=True, help="Share of the peak FLOP/s that training will reach.")
@json_option
def diff(a: Path, b: Path, gpus: int, gpu: str, mfu: float, as_json: bool) -> None:
    """What really changes from recipe A to recipe B, and what follows from it.

    Both are compared with everything that they inherit and every default written out. Names, folders and logging are
    set apart. Two recipes that train the same thing say so; the exit status is 0 in any case.
    """
    from kormo_plugins.recipe.cost.machine import Machine
    from kormo_plugins.recipe.diff.diff_text import text
    from kormo_plugins.recipe.diff.difference import difference
    from kormo_plugins.recipe.load import load_recipe

    recipes = load_recipe(a), load_recipe(b)
    found = difference(*recipes, Machine(gpus, gpu, mfu), _counted)
    if as_json:
        return print_json(found.as_json())
    for line in text(found, *recipes):
        click.echo(line)


def _counted(recipe: Recipe) -> dict[str, Counted] | None:
    """The sources of a recipe as built, found without building anything."""
    from kormo_plugins.pipeline.build import build_data
    from kormo_plugins.recipe.cost.shares import Counted

    if recipe.data is None or not recipe.block.workspace.is_dir():
        return None
    try:
        built = build_data(recipe, lookup_only(recipe.path))
    except KormoError:  # not built yet: the recipe's own words must do
        return None
    return {
        name: Counted(int(rows.stats["tokens_placed"]), built.shards[name].stats["languages"])
        for name, rows in built.rows.items()
    }


@recipe.command()
@click.option("--kind", type=click.Choice(FILE_KINDS), default="recipe", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, not to stdout.")
@click.option(
    "--mark",
    "places",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    metavar="PATH",
    help="Write all schemas into .kormo/, and their line into the recipes in PATH.",
)
@click.option("--plugin", "modules", multiple=True, metavar="MODULE", help="Load this module, as kormo.plugins does.")
def schema(kind: str, out: Path | None, places: tuple[Path, ...], modules: tuple[str, ...]) -> None:
    """JSON Schema of everything that a recipe may say: Axolotl's keys, ours, and every installed component's.

    \b
        kormo recipe schema --mark recipes --mark datasets_recipes

    makes editors with a YAML language server complete, document and check the recipes in these folders.
    """
    import json

    from kormo_plugins.recipe.schema import editor

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
    """The JSON Schema of a kind of file, with the components of these further plugins."""
    from kormo_plugins.plugins.registry import registry
    from kormo_plugins.recipe.schema.json_schema import DRAFT, json_schema

    if kind == "chain":
        from kormo_plugins.experiments.chain.spec import ChainFile

        return {"$schema": DRAFT, **ChainFile.model_json_schema()}
    if kind == "ablation":
        from kormo_plugins.experiments.ablation.spec import AblationSpec

        return {"$schema": DRAFT, **AblationSpec.model_json_schema()}
    if kind == "ladder":
        from kormo_plugins.experiments.ladder.spec import LadderSpec

        return {"$schema": DRAFT, **LadderSpec.model_json_schema()}
    return json_schema(kind, registry(modules))


def yaml_lines(node: Block | Leaf, origins: bool, depth: int = 0) -> Iterator[str]:
    """A tree as YAML, with the file of each value behind it if `origins`."""
    assert not isinstance(node, Leaf)
    indent = "  " * depth
    for key, child in node.children.items():
        if not isinstance(child, Leaf) and child.children:
            yield indent + _dump({key: None}).removesuffix(" null")
            yield from yaml_lines(child, origins, depth + 1)
            continue
        value = child.value if isinstance(child, Leaf) else {}
        first, *rest = _dump({key: value}).split("\n")
        first = indent + first
        yield f"{first.ljust(COMMENT_COLUMN)}  # {child.file}" if origins else first
        yield from (indent + line for line in rest)


def _dump(value: Mapping[object, object]) -> str:
    """YAML of a mapping with one key; text of several lines is quoted, so that a scalar takes one line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    Dumper.add_representer(
        str, lambda d, s: d.represent_scalar("tag:yaml.org,2002:str", s, style='"' if "\n" in s else None)
    )
    text: str = yaml.dump(value, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=1 << 30)
    return text.rstrip("\n")


def _resolved(file: Path) -> Resolved:
    """A recipe, or a dataset or tokenizer recipe by itself."""
    from kormo_plugins.recipe.checks.validate import kind_of

    return resolve(file) if kind_of(read_yaml(file)) == "recipe" else resolve_data(file)


def _to_axolotl(recipe: Recipe) -> dict[str, object]:
    from kormo_plugins.pipeline.axolotl_keys import axolotl_values

    return {**recipe.resolved.values, **axolotl_values(recipe.axolotl_plan(), None)}


def _files(count: int) -> str:
    return f"{count} file{'s' * (count != 1)}"
