"""The two pydantic models that every part of a recipe is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Frozen; unknown keys are refused.

    Its validator is built when the first value is checked. A default that is a model is therefore made with
    `model_construct`, which needs none: an import builds no validator.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Key of an earlier version -> what it is called today (`plugins/parameters.py`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Choice(Strict):
    """A component by name, with its parameters: `{name: length, minimum: 50}` in a recipe."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    name: str = Field(description="name of an installed component of the kind that belongs to this key")

    @property
    def values(self) -> dict[str, Any]:
        """The parameters as written."""
        return dict(self.model_extra or {})
