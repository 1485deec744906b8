"""The first line of a recipe, which tells editors where its schema is.

    # yaml-language-server: $schema=../.kormo/recipe.schema.json

The schema itself is not kept with the recipes, as it describes what is installed on this machine. One command writes
it, and adds the line to the files that lack it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from kormo_plugins.recipe.checks.validate import kind_of
from kormo_plugins.recipe.files.kinds import list_of_recipes
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.recipe.schema.json_types import Schema
from kormo_plugins.store.atomic import write_text

FOLDER = Path(".kormo")
"""Folder of the schemas in the working directory; ignored by git."""

MARK = "# yaml-language-server: $schema="
_KINDS = {"recipe": "recipe", "dataset recipe": "data", "tokenizer recipe": "tokenizer"}


def schema_file(kind: str) -> Path:
    """The path of the schema of a kind of file."""
    return FOLDER / f"{kind}.schema.json"


def write_schemas(schemas: Mapping[str, Schema]) -> list[Path]:
    """Writes the schema of each kind of file; returns the paths."""
    FOLDER.mkdir(exist_ok=True)
    paths = []
    for kind, schema in schemas.items():
        path = schema_file(kind)
        text = json.dumps(schema, ensure_ascii=False, indent=1)
        write_text(path, text + "\n")
        paths.append(path)
    return paths


def files_in(places: Iterable[Path]) -> Iterator[Path]:
    """The YAML files among `places`; folders are searched recursively."""
    for place in places:
        yield from sorted(place.rglob("*.yml")) if place.is_dir() else [place]


def kind_in(path: Path) -> str:
    """The kind of a file: `recipe`, `data`, `tokenizer`, `chain`, `ablation` or `ladder`."""
    own = read_yaml(path)
    return list_of_recipes(own) or _KINDS[kind_of(own)]


def line(path: Path, kind: str) -> str:
    """The line for a file, with the schema's path relative to the file's folder."""
    return MARK + os.path.relpath(schema_file(kind), path.parent)


def marked(path: Path) -> str | None:
    """The file's line, if it has one."""
    with path.open(encoding="utf-8") as file:
        first = file.readline().rstrip("\n")
    return first if first.startswith(MARK) else None


def link_schema(path: Path) -> bool:
    """Writes the line into the file; False if it was already there."""
    kind = kind_in(path)
    if marked(path) == line(path, kind):
        return False
    text = path.read_text(encoding="utf-8")
    if marked(path):
        text = text.partition("\n")[2]
    write_text(path, f"{line(path, kind)}\n{text}")
    return True
