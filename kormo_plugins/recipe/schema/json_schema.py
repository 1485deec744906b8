"""One JSON Schema of everything that a recipe file may contain, for editors and other programs.

Axolotl's keys come from the installed Axolotl and the plugins that it ships, ours from the models that check them, and
a component's parameters from the component: `{name: best_fit, …}` is checked against the parameters of `best_fit`. The
schema thus describes this installation, including third-party plugins, and is generated locally, not published.

It is the schema of a *file*, which may inherit: a child contains only its changes, so no key is required, `extends` is
allowed in every mapping, and `kormo.data` may be a path. Required keys, and rules across keys, are checked by `kormo
recipe validate`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.mixture.params import MixtureRecipe
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.schema.axolotl import axolotl_keys
from kormo_plugins.recipe.schema.axolotl_plugins import EVERY
from kormo_plugins.recipe.schema.json_types import Schema, object_schema
from kormo_plugins.recipe.schema.kormo_block import KormoBlock

DRAFT = "https://json-schema.org/draft/2020-12/schema"
KINDS = ("recipe", "data", "tokenizer")
"""The kinds of files: an Axolotl recipe, a dataset recipe, a tokenizer recipe."""

CHOICES = {
    ("KormoBlock", "architecture"): "architecture",
    ("KormoBlock", "collator"): "collator",
    ("KormoBlock", "objective"): "objective",
    ("KormoBlock", "kernels"): "kernel",
    ("KormoBlock", "callbacks"): "run_callback",
    ("Source", "reader"): "reader",
    ("Source", "generator"): "generator",
    ("Source", "steps"): "corpus_step",
    ("CorpusRecipe", "steps"): "corpus_step",
    ("MixtureRecipe", "packing"): "packing",
    ("MixtureRecipe", "mixture"): "mixing",
    ("TokenizerChoice", "train"): "tokenizer",
}
"""Model and field -> kind of the component that it chooses by name."""

DATA = (("KormoBlock", "data"), ("Monitor", "external_eval"))
"""Model and field -> where a dataset recipe stands."""

MONITORS = ("held_out", "collapse", "mini")
"""Fields of `Monitor` with the parameters of the run callback of the same name."""

FILES = (*DATA, ("TokenizerChoice", "train"))
"""Keys that may have the path of a file instead of its content."""

AXOLOTL_PLUGINS: tuple[str, ...] = (EVERY,)
"""Axolotl's plugins whose keys are part of the schema of a recipe."""

VARIABLE = r"|\$\{"

EXTENDS: Schema = {
    "description": "files whose keys this block inherits, as paths relative to this file",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}


def json_schema(kind: str, components: Registry) -> Schema:
    """The schema of one kind of file.

    Args:
        kind: one of `KINDS`.
        components: the components that a recipe may name.
    """
    definitions = _models(components)
    if kind == "recipe":
        view = axolotl_keys(AXOLOTL_PLUGINS)
        definitions |= view.definitions
        keys = {**view.schema["properties"], "kormo": {"$ref": "#/$defs/KormoBlock"}}
        root: Schema = {"type": "object", "properties": keys, "additionalProperties": False}
    else:
        root = {"$ref": "#/$defs/DataRecipe"} if kind == "data" else _component("tokenizer", components, definitions)
    definitions["extends"] = EXTENDS
    for schema in (root, *definitions.values()):
        _allow_variables(schema)
        for part in _mappings(schema):
            part["properties"].setdefault("extends", {"$ref": "#/$defs/extends"})
    title = {
        "recipe": "KORMo recipe for Axolotl",
        "data": "KORMo dataset recipe",
        "tokenizer": "KORMo tokenizer recipe",
    }
    return {"$schema": DRAFT, "title": title[kind], **root, "$defs": definitions}


def _models(components: Registry) -> dict[str, Schema]:
    """Definitions of our own models, with each choice of a component expanded to the parameters of the components."""
    models = (KormoBlock, CorpusRecipe, MixtureRecipe)
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/$defs/{model}", schema_generator=_generator()
    )
    definitions: dict[str, Schema] = found["$defs"]
    for schema in definitions.values():
        schema.pop("required", None)
    for (model, field), kind in CHOICES.items():
        _choose(definitions[model]["properties"][field], _component(kind, components, definitions))
    for name in MONITORS:
        parameters = _parameters("run_callback", name, components, definitions)
        named = {key: value for key, value in parameters["properties"].items() if key != "name"}
        _choose(definitions["Monitor"]["properties"][name], {**parameters, "properties": named})
    whole = {**definitions["CorpusRecipe"]["properties"], **definitions["MixtureRecipe"]["properties"]}
    definitions["DataRecipe"] = {"type": "object", "properties": whole, "additionalProperties": False}
    for model, field in DATA:
        if model in definitions:
            _choose(definitions[model]["properties"][field], {"$ref": "#/$defs/DataRecipe"})
    for model, field in FILES:
        if model in definitions:
            definitions[model]["properties"][field]["anyOf"].append({"type": "string"})
    return definitions


def _generator() -> Any:
    """Pydantic's schema generator, extended for models that convert a string to a mapping first."""

    class Generator(GenerateJsonSchema):
        """pydantic's generator, for models that are also given as one word (`packing: best_fit`)."""

        def function_before_schema(self, schema: Any) -> Schema:
            """The schema of what a validator lies before: it takes a string too."""
            return {"anyOf": [super().function_before_schema(schema), {"type": "string"}]}

        def model_schema(self, schema: Any) -> Schema:
            """The schema of a model; that no other keys are allowed is said of the mapping and not of the string."""
            made = super().model_schema(schema)
            closed = made.pop("additionalProperties", None) if "anyOf" in made else None
            if closed is not None:  # said of the mapping, not of the text
                made["anyOf"][0]["additionalProperties"] = closed
            return made

        def encode_default(self, dft: Any) -> Any:
            """A default as JSON; a model's serializer is built first (`plugins/choice.py`: an import builds none)."""
            if isinstance(dft, BaseModel):
                type(dft).model_rebuild()
            return super().encode_default(dft)

    return Generator


def _choose(field: Schema, choice: Schema) -> None:
    """Inserts `choice` where a field's schema refers to the open model of choices, or to any mapping."""
    if "items" in field:
        field["items"] = {**choice, "required": ["name"]} if "allOf" in choice else choice
        return
    if "anyOf" in field:
        for index, part in enumerate(field["anyOf"]):
            if "items" in part:
                _choose(part, choice)
            elif part.get("type") != "null":
                field["anyOf"][index] = choice
        return
    for key in ("$ref", "type", "additionalProperties"):
        field.pop(key, None)
    field["anyOf"] = [choice]


def _component(kind: str, components: Registry, definitions: dict[str, Schema]) -> Schema:
    """A component of a kind by name, with the parameters of that component."""
    names = components.names(kind)
    closed = {name: _parameters(kind, name, components, definitions) for name in names}
    keys = {key for schema in closed.values() for key in schema["properties"] if key != "name"}
    unnamed = {key: _any_of(kind, key, closed) for key in sorted(keys)}
    rules: list[Schema] = [
        {
            "if": {"properties": {"name": {"const": name}}, "required": ["name"]},
            "then": {"$ref": f"#/$defs/{kind}.{name}"},
        }
        for name in names
    ]
    inherits = {"properties": {"name": True, **unnamed}, "additionalProperties": False}
    rules.append({"if": {"not": {"required": ["name"]}}, "then": inherits})  # a child whose parent names the component
    listed = ", ".join(f"{name}: {components.get(kind, name).summary}" for name in names)
    about = {"enum": names, "description": f"name of an installed component of the kind {kind}. {listed}"}
    return {"type": "object", "properties": {"name": about}, "allOf": rules}


def _any_of(kind: str, key: str, closed: dict[str, Schema]) -> Schema:
    """The schema of a key if the component is not named: that of any component with this key."""
    owners: list[str] = []
    for name, schema in closed.items():
        own = schema["properties"].get(key)
        if own is not None and all(closed[other]["properties"][key] != own for other in owners):
            owners.append(name)
    references = [{"$ref": f"#/$defs/{kind}.{name}/properties/{key}"} for name in owners]
    return references[0] if len(references) == 1 else {"anyOf": references}


def _parameters(kind: str, name: str, components: Registry, definitions: dict[str, Schema]) -> Schema:
    """Definition of a component's parameters; its models are added to `definitions`."""
    key = f"{kind}.{name}"
    if key in definitions:
        return definitions[key]
    component = components.get(kind, name)
    properties: dict[str, Schema] = {}
    if component.params is not None:
        properties = _of_model(components.model(kind, name), key, definitions)
    about = component.summary + (f" (source: {component.source})" if component.source else "")
    definitions[key] = {
        "title": name,
        "description": about,
        "type": "object",
        "properties": {"name": {"const": name}, **properties},
        "additionalProperties": False,
    }
    return definitions[key]


def _of_model(model: Any, key: str, definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Properties of a parameter model, from pydantic, or from its type hints if pydantic cannot generate JSON
    Schema."""
    try:
        model_schema = model.model_json_schema(ref_template=f"#/$defs/{key}.{{model}}", schema_generator=_generator())
    except PydanticInvalidForJsonSchema:
        return dict(object_schema(model, definitions)["properties"])
    for name, inner in model_schema.pop("$defs", {}).items():
        inner.pop("required", None)
        definitions[f"{key}.{name}"] = inner
    if "$ref" in model_schema:  # a model that contains itself
        model_schema = definitions[model_schema["$ref"].removeprefix("#/$defs/")]
    return dict(model_schema["properties"])


def _allow_variables(schema: object) -> None:
    """Allows an environment variable wherever a string must match a pattern."""
    if isinstance(schema, dict):
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and not pattern.endswith(VARIABLE):  # parts are shared, and visited more than once
            schema["pattern"] = f"({pattern}){VARIABLE}"
        for child in schema.values():
            _allow_variables(child)
    elif isinstance(schema, list):
        for child in schema:
            _allow_variables(child)


def _mappings(schema: object) -> Iterator[Schema]:
    """All closed mappings in a schema."""
    if isinstance(schema, dict):
        if schema.get("additionalProperties") is False and isinstance(schema.get("properties"), dict):
            yield schema
        for child in schema.values():
            yield from _mappings(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from _mappings(child)
