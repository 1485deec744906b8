"""Recipes with some values changed, as `kormo train`, chains and ablations use them.

    changes   learning_rate: 1e-3, kormo.data.sources.ko.license: CC0-1.0, datasets[0].path: my/text
    recipe    + changes  →  one checked file without inheritance, which `axolotl train` can run

A key is a dotted path; an element of a list is `[0]` or `.0`. The first lines of the file record the original recipe
and the changes, so that they can be copied to the run's record (`run.json`). The file means the same in any folder: it
has no `extends`, and all other paths of a recipe are relative to the working directory.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.errors import KormoError, closest, writing
from kormo_plugins.mixture.params import MixtureRecipe
from kormo_plugins.recipe.checks.axolotl_keys.keys import shown
from kormo_plugins.recipe.files.paths import from_here
from kormo_plugins.recipe.files.record import FIRST_LINE, RECORD, record_of
from kormo_plugins.recipe.files.resolve import COMMAND_LINE, ENVIRONMENT_BLOCKS, Resolved, as_written
from kormo_plugins.recipe.files.tree import UNITED
from kormo_plugins.recipe.files.yaml_file import read_value
from kormo_plugins.recipe.load import Recipe, load_recipe
from kormo_plugins.recipe.parts import components_of
from kormo_plugins.recipe.schema.axolotl import axolotl_keys
from kormo_plugins.recipe.schema.json_types import Schema, faults, name_of, object_schema
from kormo_plugins.recipe.schema.kormo_block import KormoBlock
from kormo_plugins.store.atomic import write_text

_KEY = re.compile(r"[^\s.\[\]=]+(\[\d+\]|\.[^\s.\[\]=]+)*")
_CHOICES = {
    "kormo.architecture": "architecture",
    "kormo.collator": "collator",
    "kormo.objective": "objective",
    "kormo.kernels.#": "kernel",
    "kormo.callbacks.#": "run_callback",
    "kormo.tokenizer.train": "tokenizer",
    "kormo.data.packing": "packing",
    "kormo.data.mixture": "mixing",
    "kormo.data.steps.#": "corpus_step",
    "kormo.data.sources.*.reader": "reader",
    "kormo.data.sources.*.generator": "generator",
    "kormo.data.sources.*.steps.#": "corpus_step",
}
"""Keys that choose a component by name -> its kind; `*` matches any key, `#` any index."""


def with_changes(recipe_path: Path, changes: Mapping[str, object], out: Path) -> Path:
    """Writes the recipe with `changes` as one checked file.

    Args:
        recipe_path: any recipe.
        changes: dotted key -> value, as parsed from YAML; null if the schema allows it.
        out: the file to write, atomically; its folder is created.
    Returns:
        `out`.
    Raises:
        KormoError: a key is unknown, a value has the wrong type, or the resulting recipe is invalid.
    """
    return write(changed(recipe_path, changes), changes, out)


def changed(recipe_path: Path, changes: Mapping[str, object]) -> Recipe:
    """The recipe with `changes`, loaded and checked; nothing is written."""
    return load_recipe(recipe_path, nested(changes, as_written(recipe_path).values))


def text_of(recipe: Recipe, changes: Mapping[str, object]) -> str:
    """The result of `changed` as the text of a recipe that records its origin."""
    record = {"recipe": str(recipe.path), "set": dict(changes)}
    before = record_of(recipe.path)
    if before:  # a recipe that was itself made so: record the original, and all changes since
        record = {"recipe": before["recipe"], "set": {**before["set"], **changes}}
    values = recipe_yaml(from_here(recipe.resolved))
    return f"{FIRST_LINE}{RECORD}{json.dumps(record, ensure_ascii=False)}\n{values}"


def write(recipe: Recipe, changes: Mapping[str, object], out: Path) -> Path:
    """Writes the result of `changed`; see `with_changes`."""
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, text_of(recipe, changes))
    return out


def provenance(path: Path) -> dict[str, object]:
    """The entries of `run.json` on the recipe that was asked for: `recipe`, and `overrides` if there are any."""
    record = record_of(path)
    return {"recipe": record["recipe"], "overrides": record["set"]} if record else {"recipe": str(path)}


def recipe_yaml(values: Mapping[str, object]) -> str:
    """A resolved recipe as YAML, from which `resolve` reads the same values."""

    class Dumper(yaml.SafeDumper):
        """PyYAML without anchors, and with numbers that are text in quotes."""

        def ignore_aliases(self, data: object) -> bool:
            """Writes a value that occurs twice twice: recipes are read without anchors."""
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        """A string, in quotes where we would read it as a number."""
        plain = dumper.represent_scalar("tag:yaml.org,2002:str", value)
        if re.fullmatch(r"[-+]?[\d.][\d_.]*[eE][-+]?\d+", value):  # we read `3e-4` as a number, YAML 1.1 as text
            plain.style = "'"
        return plain

    Dumper.add_representer(str, text)
    escaped: object = values
    for block in ENVIRONMENT_BLOCKS:
        escaped = _escaped(escaped, block)
    written: str = yaml.dump(escaped, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=1 << 30)
    return written


def _escaped(value: object, keys: tuple[object, ...]) -> object:
    """Escapes `${` as `$${` below `keys`, where it would otherwise be an environment variable."""
    if keys:
        if not isinstance(value, Mapping):
            return value
        return {key: _escaped(child, keys[1:]) if key == keys[0] else child for key, child in value.items()}
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {key: _escaped(child, ()) for key, child in value.items()}
    return [_escaped(child, ()) for child in value] if isinstance(value, list) else value


def parse(words: Iterable[str], recipe_path: Path) -> dict[str, object]:
    """Parses `key=value` words of a command line as typed changes.

    A value is parsed as YAML, unless the key takes text and YAML would parse it as something else (`output_dir=2026`).

    Raises:
        KormoError: a word has no `=`, a key is given twice, or a value has the wrong type.
    """
    resolved = as_written(recipe_path)
    changes: dict[str, object] = {}
    for word in words:
        key, sign, text = word.partition("=")
        if not sign or not _KEY.fullmatch(key):
            raise KormoError(
                where="kormo train",
                found=repr(word),
                why="a change is written key=value, the key as a dotted path",
                do="write for example learning_rate=1e-3 or kormo.global_batch=16; launcher options come after `--`",
            )
        if key in changes:
            raise KormoError(
                where=f"{COMMAND_LINE}: {key}",
                found="a key given twice",
                why="only one value can apply",
                do="remove one",
            )
        changes[key] = _typed(key, text, resolved)
    return changes


def _typed(key: str, text: str, resolved: Resolved) -> object:
    value = read_value(text, f"{COMMAND_LINE}: {key}")
    schema, definitions = schema_at(split(key), resolved)
    problems = faults(value, schema, definitions)
    if not problems:
        return value
    if not isinstance(value, (dict, list)) and not faults(text, schema, definitions):
        return text
    if problems[0].key:  # inside a mapping or list, the checks of the recipe give better messages
        return value
    raise KormoError(
        where=f"{COMMAND_LINE}: {key}",
        found=shown(value),
        why=f"{name_of(schema, definitions)} is expected here",
        do=closest(text, problems[0].known, "give a value of that kind"),
    )


def schema_at(names: list[str | int], resolved: Resolved) -> tuple[Schema, dict[str, Schema]]:
    """JSON Schema of the value of a key, and its definitions; `{}` (anything) if it is not known."""
    plugins = resolved.get("plugins")
    view = axolotl_keys([name for name in plugins if isinstance(name, str)] if isinstance(plugins, list) else [])
    definitions = dict(view.definitions)
    schema = {
        **view.schema,
        "properties": {**view.schema["properties"], "kormo": object_schema(KormoBlock, definitions)},
    }
    value: object = resolved.values
    way = ""
    for name in names:
        value = _step(value, name)
        schema = _inside(schema, name, definitions)
        kind = "#" if isinstance(name, int) else str(name)
        way = f"{way}.{kind}".lstrip(".")
        way = re.sub(r"^kormo\.data\.sources\.[^.]+", "kormo.data.sources.*", way)
        if way == "kormo.data":
            schema = _data_schema(definitions)
        elif way in _CHOICES and isinstance(value, Mapping):
            schema = _component_schema(_CHOICES[way], value.get("name"), resolved, definitions) or schema
    return schema, definitions


def _data_schema(definitions: dict[str, Schema]) -> Schema:
    parts = [object_schema(model, definitions)["properties"] for model in (CorpusRecipe, MixtureRecipe)]
    whole = {"type": "object", "properties": {**parts[0], **parts[1]}, "additionalProperties": False}
    return {"anyOf": [whole, {"type": "string"}, {"type": "null"}]}


def _component_schema(kind: str, name: object, resolved: Resolved, definitions: dict[str, Schema]) -> Schema | None:
    components = components_of(resolved)
    if name not in components.names(kind):
        return None
    model = components.model(kind, name)
    schema = object_schema(model, definitions) if model is not None else {"properties": {}}
    named = {"name": {"enum": components.names(kind)}, **schema["properties"]}
    return {"type": "object", "properties": named, "additionalProperties": schema.get("additionalProperties", False)}


def _step(value: object, name: str | int) -> object:
    if isinstance(name, int):
        return value[name] if isinstance(value, list) and name < len(value) else None
    return value.get(name) if isinstance(value, Mapping) else None


def _inside(schema: Schema, name: str | int, definitions: Mapping[str, Schema]) -> Schema:
    """The schema of one key or element of a schema."""
    for form in _forms(schema, definitions):
        if isinstance(name, int) and form.get("type") == "array":
            return dict(form["items"])
        if isinstance(name, str) and form.get("type") == "object":
            inner = form.get("properties", {}).get(name, form.get("additionalProperties", {}))
            return dict(inner) if isinstance(inner, Mapping) else {}
    return {}


def _forms(schema: Schema, definitions: Mapping[str, Schema]) -> Iterator[Schema]:
    if "$ref" in schema:
        yield from _forms(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    elif "anyOf" in schema:
        for part in schema["anyOf"]:
            yield from _forms(part, definitions)
    else:
        yield schema


def split(key: str) -> list[str | int]:
    """`datasets[0].path` as `["datasets", 0, "path"]`; `datasets.0.path` is the same."""
    names = key.replace("[", ".").replace("]", "").split(".")
    return [int(name) if name.isdecimal() else name for name in names]


def nested(changes: Mapping[str, object], values: Mapping[str, object]) -> dict[str, object]:
    """Converts dotted changes to the nested mapping with which `resolve` overrides `values`, a resolved recipe.

    Lists are replaced as a whole, so a change of an element becomes a change of its list.

    Raises:
        KormoError: the list has no such element, a path leads through something other than mappings and lists, or one
            change contains another.
    """
    _refuse_overlap(changes)
    result: dict[Any, object] = {}
    working = copy.deepcopy(dict(values))
    for key, value in changes.items():
        names = split(key)
        if names[0] in UNITED and len(names) > 1:
            raise KormoError(
                where=f"{COMMAND_LINE}: {key}",
                found="an element of a list that is merged, not replaced",
                why="the command line can only add plugins",
                do=f"write {names[0]}=[…]: they are added to the list",
            )
        depth = _put(working, names, value, key)
        target: dict[object, Any] = result
        for name in names[: depth - 1]:
            target = target.setdefault(name, {})
        target[names[depth - 1]] = value if depth == len(names) else _at(working, names[:depth])
    return result


def _refuse_overlap(changes: Mapping[str, object]) -> None:
    paths = {tuple(split(key)): key for key in changes}
    for path, key in paths.items():
        for end in range(1, len(path)):
            if path[:end] in paths:
                raise KormoError(
                    where=f"{COMMAND_LINE}: {key}",
                    found=f"a change inside {paths[path[:end]]}, which is changed as well",
                    why="which of the two applies would depend on their order",
                    do="combine them into one value",
                )


def _put(working: Any, names: list[str | int], value: object, key: str) -> int:
    """Sets the value in place; returns the number of names on the path to the outermost list (or to the value)."""
    depth = len(names)
    for index, name in enumerate(names):
        if isinstance(working, list):
            depth = min(depth, index)
            if not isinstance(name, int) or name >= len(working):
                raise KormoError(
                    where=f"{COMMAND_LINE}: {key}",
                    found=f"the element {name!r}",
                    why=f"the list has {len(working)} elements, counted from 0",
                    do="set the whole list to add an element",
                )
        elif not isinstance(working, dict):
            way = ".".join(map(str, names[:index]))
            raise KormoError(
                where=f"{COMMAND_LINE}: {key}",
                found=f"{way}: {shown(working)}",
                why="it is a plain value, without keys inside",
                do=f"set {way} itself",
            )
        if index == len(names) - 1:
            working[name] = value
            continue
        if isinstance(working, dict) and working.get(name) is None:
            if isinstance(names[index + 1], int):
                raise KormoError(
                    where=f"{COMMAND_LINE}: {key}",
                    found=f"an element of {name}",
                    why="the recipe has no such list",
                    do=f"set the whole list: {name}=[…]",
                )
            working[name] = {}
        working = working[name]
    return depth


def _at(value: Any, names: list[str | int]) -> object:
    for name in names:
        value = value[name]
    return value
