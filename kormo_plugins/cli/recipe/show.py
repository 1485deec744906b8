"""`kormo recipe show` and `keys`: resolved recipes, and how Axolotl's keys are treated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import yaml

from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.recipe.checks.axolotl_keys.fate_text import markdown_table, rows
from kormo_plugins.recipe.checks.validate import kind_of
from kormo_plugins.recipe.files.resolve import Resolved, resolve, resolve_data
from kormo_plugins.recipe.files.tree import Block, Leaf, leaves
from kormo_plugins.recipe.files.yaml_file import read_yaml

COMMENT_COLUMN = 48


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--origins", is_flag=True, help="Comment each key with the file that sets it.")
@json_option
def show(file: Path, origins: bool, as_json: bool) -> None:
    """The recipe in FILE with all inherited values, as Axolotl and KORMo see it."""
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


@click.command()
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@json_option
def keys(markdown: bool, as_json: bool) -> None:
    """How each of Axolotl's keys is treated in a recipe that trains on kormo.data."""
    if as_json:
        return print_json([row.as_json() for row in rows()])
    if markdown:
        return click.echo(markdown_table())
    for row in rows():
        click.echo(f"{row.key}: {row.kind}{'; ' * bool(row.told)}{row.told}")


def yaml_lines(node: Block | Leaf, origins: bool, depth: int = 0) -> Iterator[str]:
    """A tree as YAML, with the file of each value as a comment if `origins`."""
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
    """YAML of a mapping with one key; multi-line text is quoted, so that a scalar takes one line."""

    class Dumper(yaml.SafeDumper):
        """PyYAML's dumper with lists indented below their key, and without anchors."""

        def ignore_aliases(self, data: object) -> bool:
            """Disables anchors: repeated values are written in full."""
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            """Indents the items of a list below its key, which PyYAML does not."""
            super().increase_indent(flow, False)

    Dumper.add_representer(
        str, lambda d, s: d.represent_scalar("tag:yaml.org,2002:str", s, style='"' if "\n" in s else None)
    )
    text: str = yaml.dump(value, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=1 << 30)
    return text.rstrip("\n")


def _resolved(file: Path) -> Resolved:
    """Resolves a recipe, a dataset recipe or a tokenizer recipe."""
    return resolve(file) if kind_of(read_yaml(file)) == "recipe" else resolve_data(file)
