"""The two pydantic models that every part of a recipe is made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Frozen, and no key that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(Strict):
    """A component by name, with its parameters: `{name: length, minimum: 50}` in a recipe."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="name of an installed component of the kind that this key takes")

    @property
    def values(self) -> dict[str, Any]:
        """The parameters as written."""
        return dict(self.model_extra or {})
