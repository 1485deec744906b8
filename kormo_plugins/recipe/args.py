"""What Axolotl is told about our keys: that they exist.

They are checked by `recipe.schema` and the components' own models, before Axolotl looks.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class KormoArgs(BaseModel):
    """Merged into Axolotl's configuration model, so that it keeps the block."""

    kormo: dict[str, Any] | None = Field(
        default=None, description="the `kormo:` block, see recipe.schema.KormoBlock"
    )
