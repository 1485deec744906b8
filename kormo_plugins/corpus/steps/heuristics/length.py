"""Drops documents that are too short to be useful or too long to be a single document."""

from __future__ import annotations

from pydantic import Field, model_validator

from kormo_plugins.corpus.params import Strict
from kormo_plugins.documents.document import Document, Reject


class LengthParams(Strict):
    """Bounds in characters (a Hangul syllable is one)."""

    minimum: int = Field(
        default=50,
        ge=0,
        description="minimum characters; CulturaX cuts Korean at about this (arXiv 2309.09400), and 50 Korean "
        "characters carry about as much as 100 English ones",
    )
    maximum: int | None = Field(
        default=5_000_000,
        ge=1,
        description="maximum characters (ours: longer files are dumps and logs); null: no limit",
    )

    @model_validator(mode="after")
    def _ordered(self) -> LengthParams:
        if self.maximum is not None and self.maximum < self.minimum:
            raise ValueError("maximum must not be below minimum")
        return self


class Length:
    """Keeps documents whose length is within the bounds."""

    VERSION = 1

    def __init__(self, params: LengthParams) -> None:
        self.params = params

    def __call__(self, document: Document) -> Document | Reject:
        length = len(document.text)
        if length < self.params.minimum:
            return Reject("too short")
        if self.params.maximum is not None and length > self.params.maximum:
            return Reject("too long")
        return document
