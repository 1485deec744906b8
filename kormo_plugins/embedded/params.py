"""The parameters of the embedded generator, in their own module so that checking a recipe loads no lexicon."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kormo_plugins.errors import closest

GENRES: tuple[str, ...] = (
    "story",
    "encyclopedia",
    "dialogue",
    "howto",
    "arithmetic",
    "questions",
    "news",
    "code",
    "letter",
    "glossary",
)


class EmbeddedParams(BaseModel):
    """What to generate."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    language: Literal["ko", "en", "mul", "all"] = Field(
        default="all",
        description="language: Korean, English, bilingual documents (mul), or all three in turn (2 : 2 : 1)",
    )
    genres: list[str] | None = Field(
        default=None, min_length=1, description=f"genres, used in turn; null: all of {', '.join(GENRES)}"
    )
    megabytes: float = Field(default=2.0, gt=0, description="total size of the documents in 10^6 UTF-8 bytes")
    seed: int = Field(default=0, description="seed of the documents")
    style: int = Field(
        default=0,
        ge=0,
        description="number of the writing style: speech level, layout and part of the lexicon (15 differ)",
    )

    @field_validator("genres")
    @classmethod
    def _known(cls, names: list[str] | None) -> list[str] | None:
        for name in names or ():
            if name not in GENRES:
                raise ValueError(f"{name!r} is not a genre. {closest(name, GENRES) or ', '.join(GENRES)}")
        if names and len(set(names)) < len(names):
            raise ValueError("a genre is named twice")
        return names


class BooksParams(BaseModel):
    """What to generate as books."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    language: Literal["ko", "en", "mul"] = Field(description="language: Korean, English, or both side by side (mul)")
    megabytes: float = Field(default=2.0, gt=0, description="total size of the books in 10^6 UTF-8 bytes")
    characters: tuple[int, int] = Field(
        default=(3000, 12_000), description="minimum and maximum length of a book, in characters of its first language"
    )
    seed: int = Field(default=0, description="seed of the books")
    style: int = Field(default=0, ge=0, description="number of the writing style, as for `embedded`")

    @field_validator("characters")
    @classmethod
    def _ordered(cls, bounds: tuple[int, int]) -> tuple[int, int]:
        if not 0 < bounds[0] <= bounds[1]:
            raise ValueError("give the shorter bound first, both above 0")
        return bounds
