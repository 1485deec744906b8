"""The two keys that we add to Axolotl's schema; what is inside `kormo` is checked by our own models."""

from __future__ import annotations

from pydantic import BaseModel, Field


class KormoArgs(BaseModel):
    """Merged into Axolotl's input schema, which drops unknown keys."""

    kormo: dict[str, object] | None = Field(
        default=None,
        description="settings of kormo-plugins: model, tokenizer, data, precision, monitoring and evaluation",
    )
    extends: str | list[str] | None = Field(
        default=None, description="recipes that this one inherits from, as paths relative to this file"
    )
