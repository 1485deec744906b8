"""Converts Python type hints to JSON Schema, and validates values against it: the two halves of a quick check.

Pydantic's own generator fails at the first type without a JSON form, and Axolotl's configuration has several. Here such
a type becomes `{}` (anything), so that there is always a schema, which may be too lenient but is never wrong. The
result is plain JSON Schema: it can be cached, shown, and given to an editor.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]
_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
_TRUTHS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "t", "f", "1", "0"})


def schema_of(hint: object, definitions: dict[str, Schema]) -> Schema:
    """JSON Schema of a type hint; models are added to `definitions` and referred to by `$ref`."""
    if isinstance(hint, type) and hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [_spelling(member) for member in hint]}
    if isinstance(hint, type) and hasattr(hint, "model_fields"):
        return _reference(hint, definitions)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return schema_of(arguments[0], definitions)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return _union([schema_of(argument, definitions) for argument in arguments])
    container = origin or hint
    if isinstance(container, type) and container is not str:
        if issubclass(container, Mapping):
            inner = schema_of(arguments[1], definitions) if len(arguments) == 2 else {}
            return {"type": "object", "additionalProperties": inner}
        if issubclass(container, (Sequence, Set)) and not issubclass(container, (str, bytes)):
            members = [a for a in arguments if a is not Ellipsis]
            return {
                "type": "array",
                "items": _union([schema_of(a, definitions) for a in members]) if members else {},
            }
    return {}


def _spelling(member: enum.Enum) -> str | int | float | bool:
    """How a member is written in YAML: its value, or its name if the value cannot be written (`torch.int4`)."""
    return member.value if isinstance(member.value, (str, int, float, bool)) else member.name


def _union(parts: list[Schema]) -> Schema:
    unique = [part for index, part in enumerate(parts) if part not in parts[:index]]
    return {} if {} in unique else unique[0] if len(unique) == 1 else {"anyOf": unique}


def _reference(model: Any, definitions: dict[str, Schema]) -> Schema:
    name = f"{model.__module__}.{model.__qualname__}"  # two packages may use the same class name
    if name not in definitions:
        definitions[name] = {}  # reserved, so that a model that contains itself ends here
        definitions[name] = object_schema(model, definitions)
    return {"$ref": f"#/$defs/{name}"}


def object_schema(model: Any, definitions: dict[str, Schema]) -> Schema:
    """JSON Schema of a pydantic model: its fields by name and by alias, with description and default."""
    properties: dict[str, Schema] = {}
    required: list[str] = []
    early = _validated_before(model)
    for name, field in model.model_fields.items():
        entry = dict(schema_of(field.annotation, definitions))
        if name in early and _is_listed(entry):
            entry = _union([entry, {"type": "string"}])
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        description = field.description or extra.get("description")
        if description:
            entry["description"] = " ".join(str(description).split())
        if isinstance(field.default, (bool, int, float, str, list)):
            entry["default"] = field.default
        for key in {name, field.alias or name}:
            properties[key] = entry
        if field.is_required():
            required.append(field.alias or name)
    for old, name in getattr(model, "RENAMED", {}).items():
        properties[old] = {**properties[name], "deprecated": True, "description": f"now called `{name}`"}
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    if model.model_config.get("extra") != "allow":
        schema["additionalProperties"] = False
    return schema


def _validated_before(model: Any) -> set[str]:
    """Fields with a validator that runs before the type is checked: it may accept other spellings (`fp8`)."""
    decorators = model.__pydantic_decorators__.field_validators.values()
    return {name for one in decorators if one.info.mode in ("before", "wrap", "plain") for name in one.info.fields}


def _is_listed(schema: Schema) -> bool:
    """Whether a schema allows a fixed list of values."""
    return "enum" in schema or any(_is_listed(part) for part in schema.get("anyOf", ()))


@dataclass(frozen=True, slots=True)
class Fault:
    """One value that a schema does not allow.

    Args:
        key: dotted key, relative to the value that was checked (`datasets[0].text_colum`).
        value: the value.
        expected: for a wrong value, the allowed types; empty for an unknown key.
        known: for an unknown key, the known ones; for a value not in a fixed list, the list.
    """

    key: str
    value: object
    expected: str = ""
    known: tuple[str, ...] = ()


def faults(value: object, schema: Schema, definitions: Mapping[str, Schema], key: str = "") -> list[Fault]:
    """What `schema` does not allow in `value`; empty if it is valid.

    As lenient as pydantic if no information is lost (`"3e-4"` for a number, `1.0` for an integer, `"true"` for a
    boolean), but `true` is not a number. For a union, the errors of the closest member.
    """
    if "$ref" in schema:
        return faults(value, definitions[schema["$ref"].rsplit("/", 1)[1]], definitions, key)
    if "anyOf" in schema:
        tries = [faults(value, part, definitions, key) for part in schema["anyOf"]]
        if [] in tries:
            return []
        inside = [found for found in tries if not (found[0].expected and found[0].key == key)]
        return min(inside, key=len) if inside else [_wrong(key, value, schema, definitions)]
    if "enum" in schema:
        return [] if value in schema["enum"] else [_wrong(key, value, schema, definitions)]
    kind = schema.get("type")
    if kind == "object":
        return _object_faults(value, schema, definitions, key)
    if kind == "array" and isinstance(value, (list, tuple)):
        items = schema["items"]
        return [f for i, item in enumerate(value) for f in faults(item, items, definitions, f"{key}[{i}]")]
    if kind is None or _fits(value, kind):
        return []
    return [_wrong(key, value, schema, definitions)]


def _wrong(key: str, value: object, schema: Schema, definitions: Mapping[str, Schema]) -> Fault:
    listed = [choice for part in schema.get("anyOf", [schema]) for choice in part.get("enum", ())]
    return Fault(key, value, name_of(schema, definitions), tuple(str(choice) for choice in listed))


def _object_faults(value: object, schema: Schema, definitions: Mapping[str, Schema], key: str) -> list[Fault]:
    if not isinstance(value, Mapping):
        return [Fault(key, value, "a mapping")]
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    problems: list[Fault] = []
    for name, child in value.items():
        inner = f"{key}.{name}" if key else str(name)
        if name in properties:
            problems += faults(child, properties[name], definitions, inner)
        elif others is False:
            problems.append(Fault(inner, child, known=tuple(properties)))
        else:
            problems += faults(child, others, definitions, inner)
    return problems


def _fits(value: object, kind: str) -> bool:
    if isinstance(value, str) and kind in ("number", "integer"):
        try:
            number = float(value)
        except ValueError:
            return False
        return kind == "number" or number.is_integer()
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "boolean":
        return value.lower() in _TRUTHS if isinstance(value, str) else value in (0, 1)
    if kind == "number":
        return isinstance(value, (int, float))
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, str) if kind == "string" else kind == "null" and value is None


def name_of(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    """The values that a schema allows, in words: `a whole number or null`, `one of drop, truncate`, `a text`."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(name_of(part, definitions) for part in schema["anyOf"]))
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        items = name_of(schema["items"], definitions) if schema["items"] else ""
        return "a list" + (f" of {_SEVERAL.get(items, items)}" if items else "")
    kind = "object" if "$ref" in schema else str(schema.get("type", "anything"))
    return _WORDS.get(kind, kind)


_WORDS = {
    "string": "text",
    "object": "a mapping",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
}
_SEVERAL = {"a mapping": "mappings", "a whole number": "whole numbers", "a number": "numbers", "a list": "lists"}
