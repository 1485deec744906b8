"""The quick check of Axolotl's part: never stricter than the real model, and it finds what that one drops."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kormo_plugins.recipe.schema.json_types import faults, object_schema


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    """A nested model."""

    path: str | None = None
    count: int = 1


class Other(BaseModel):
    """Another form that may stand in the same place."""

    path: str | None = None
    ratio: float = 0.5


class Open(BaseModel):
    """A model that takes any key."""

    model_config = ConfigDict(extra="allow")


class Model(BaseModel):
    """Every kind of type hint that Axolotl uses, and one that has no JSON form."""

    model_config = ConfigDict(populate_by_name=True)

    must: int = 3
    flag: bool | None = None
    count: int | None = None
    rate: str | float | None = None
    ratio: float | None = None
    name: str | None = Field(default=None, json_schema_extra={"description": "a name"})
    word: Literal["a", "b"] | None = None
    auto: Literal["auto"] | bool | None = None
    colour: Colour | None = None
    items: Annotated[list[Inner | Other], Field(min_length=1)] | None = None
    pair: tuple[int, int] | None = None
    table: dict[str, int | str] | None = None
    anything: Any | None = None
    odd: Optional[type] = None  # noqa: UP045
    free: Open | None = None
    self: Model | None = None
    renamed: str | None = Field(default=None, alias="model_config_name")


DEFINITIONS: dict[str, Any] = {}
SCHEMA = object_schema(Model, DEFINITIONS)

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 5),
        st.floats(-5, 5),
        st.sampled_from(["a", "b", "3", "2.5", "auto", "red", "true"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(["path", "count", "ratio", "flag", "items", "self"]), inner, max_size=2),
    ),
    max_leaves=5,
)


def _accepted(value: dict[str, Any]) -> bool:
    try:
        Model.model_validate(value)
    except ValidationError:
        return False
    return True


def _holds(value: Any, kind: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds(child, kind) for child in value.values())
    return any(_holds(child, kind) for child in value) if isinstance(value, list) else isinstance(value, kind)


@given(st.dictionaries(st.sampled_from([*Model.model_fields, "model_config_name"]), VALUES, max_size=3))
@settings(max_examples=500, deadline=None)
def test_what_the_model_takes_without_loss_is_no_fault(value: dict[str, Any]) -> None:
    both = {"renamed", "model_config_name"} <= set(value)  # the model takes one and looks at no other
    # true where a number belongs, and null where the first model of a union has a type, are ours to refuse
    if both or not _accepted(value) or _holds(value, bool | None):
        return
    assert not [fault for fault in faults(value, SCHEMA, DEFINITIONS) if fault.expected]


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ({"nme": 1}, "nme"),
        ({"items": [{"path": "x"}, {"pth": "x"}]}, "items[1].pth"),
        ({"self": {"self": {"cuont": 1}}}, "self.self.cuont"),
        ({"count": "many"}, "count"),
        ({"must": None}, "must"),
        ({"count": 1.5}, "count"),
        ({"count": True}, "count"),
        ({"flag": "maybe"}, "flag"),
        ({"word": "c"}, "word"),
        ({"colour": "green"}, "colour"),
        ({"table": {"a": [1]}}, "table.a"),
        ({"items": {"path": "x"}}, "items"),
        ({"pair": "12"}, "pair"),
    ],
)
def test_faults_are_found_where_they_are(value: dict[str, Any], key: str) -> None:
    assert [fault.key for fault in faults(value, SCHEMA, DEFINITIONS)] == [key]


@pytest.mark.parametrize(
    "value",
    [
        {"free": {"any": {"thing": 1}}},
        {"model_config_name": "x", "renamed": "y"},
        {"rate": "3e-4"},
        {"flag": "yes"},
        {"anything": {"a": [1]}},
        {"count": 4.0},
        {"count": None},
        {"items": [{"ratio": 1}]},
    ],
)
def test_these_are_none(value: dict[str, Any]) -> None:
    assert faults(value, SCHEMA, DEFINITIONS) == []
