"""The parameters of the chat generator, in their own module so that checking a recipe loads no lexicon."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kormo_plugins.errors import closest

TASKS: tuple[str, ...] = ("greeting", "repeat", "yesno", "word", "arithmetic", "count", "list", "copy")


class EmbeddedChatParams(BaseModel):
    """Which conversations to generate."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    language: Literal["ko", "en", "all"] = Field(
        default="all", description="language: Korean, English, or both alternately"
    )
    conversations: int = Field(default=2000, ge=1, description="number of conversations")
    tasks: list[str] | None = Field(
        default=None, min_length=1, description=f"kinds of questions, used in turn; null: all of {', '.join(TASKS)}"
    )
    reasoning: float = Field(
        default=0.5, ge=0, le=1, description="share of conversations whose answers include reasoning"
    )
    turns: int = Field(default=3, ge=1, le=8, description="maximum number of questions per conversation")
    held_out: bool = Field(
        default=False,
        description="generate only questions that never occur in training data, to evaluate a trained model",
    )
    seed: int = Field(default=0, description="seed of the conversations")
    style: int = Field(default=0, ge=0, description="number of the writing style, which selects a part of the lexicon")

    @field_validator("tasks")
    @classmethod
    def _known(cls, names: list[str] | None) -> list[str] | None:
        for name in names or ():
            if name not in TASKS:
                raise ValueError(f"{name!r} is not a task. {closest(name, TASKS) or ', '.join(TASKS)}")
        return names
