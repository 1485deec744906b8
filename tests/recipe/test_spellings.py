"""Whatever word Axolotl's models take for a member of a list, the quick check takes too."""

from __future__ import annotations

import enum
import typing
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError, field_validator

from kormo_plugins.recipe.schema.json_types import Schema, faults, object_schema

WORDS = ("int4", "int8", "fp8", "float8", "float8_e4m3fn", "nvfp4", "mxfp4", "ternary")


class Kind(enum.Enum):
    """Members whose values have no form in YAML."""

    SMALL = ("small",)
    LARGE = ("large",)


class Early(BaseModel):
    """A list behind a validator that takes another spelling."""

    kind: Kind | None = None

    @field_validator("kind", mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        return {"little": Kind.SMALL, "SMALL": Kind.SMALL, "LARGE": Kind.LARGE}.get(str(value), value)


def models(model: type[BaseModel], seen: set[type]) -> Iterator[type[BaseModel]]:
    """The model and every model that its fields refer to."""
    if model in seen:
        return
    seen.add(model)
    yield model
    for field in model.model_fields.values():
        for part in parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from models(part, seen)


def parts(hint: object) -> Iterator[object]:
    """A type hint and everything inside it."""
    yield hint
    for argument in typing.get_args(hint):
        yield from parts(argument)


def accepted(model: type[BaseModel], field: str, words: set[str]) -> set[str]:
    """Those of the words that the model itself takes."""
    found = set()
    for word in words:
        try:
            model.__pydantic_validator__.validate_assignment(model.model_construct(), field, word)
        except ValidationError:
            continue
        except Exception:  # a validator of the whole model that needs other fields: the word itself got that far
            pass
        found.add(word)
    return found


def check(model: type[BaseModel]) -> int:
    """Words that were compared for the listed fields of a model and of those inside it."""
    compared = 0
    for one in models(model, set()):
        definitions: dict[str, Schema] = {}
        schema = object_schema(one, definitions)
        for name, field in one.model_fields.items():
            lists = [p for p in parts(field.annotation) if isinstance(p, type) and issubclass(p, enum.Enum)]
            words = {str(text) for kind in lists for m in kind for text in (m.name, m.value)} | set(
                WORDS if lists else ()
            )
            for word in accepted(one, name, words):
                assert not faults({name: word}, schema, definitions), f"{one.__qualname__}.{name}: {word}"
                compared += 1
    return compared


def test_a_list_behind_a_validator() -> None:
    assert check(Early) == 2
    schema, definitions = object_schema(Early, {}), {}
    assert not faults({"kind": "little"}, schema, definitions) and not faults({"kind": "SMALL"}, schema, definitions)
    assert faults({"kind": 7}, schema, definitions)


def test_every_listed_key_of_axolotl() -> None:
    pytest.importorskip("axolotl")
    from axolotl.utils.schemas.config import AxolotlInputConfig
    from axolotl.utils.schemas.quantization import PTQConfig, QATConfig

    assert {PTQConfig, QATConfig} <= set(models(AxolotlInputConfig, set()))
    for model in (PTQConfig, QATConfig):
        for name in ("weight_dtype", "activation_dtype"):
            assert accepted(model, name, set(WORDS)) == set(WORDS)
    assert check(AxolotlInputConfig) > 40
