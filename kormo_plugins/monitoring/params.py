"""Recipe parameters of the monitors; imports no heavy libraries."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class MonitorParams(BaseModel):
    """Parameters of every monitor."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    every_steps: int = Field(ge=1, description="optimizer steps between two measurements")


class HeldOutParams(MonitorParams):
    """Parameters of `held_out`."""

    documents: int = Field(
        64,
        ge=1,
        description="maximum number of documents per source; those with the smallest hash of their id are used",
    )
    domain: tuple[str, ...] = Field(
        ("domain", "genre"), description="fields of a document's metadata, of which the first present gives its domain"
    )


PROMPTS: dict[str, tuple[str, ...]] = {
    "ko": ("서울은", "아침에 일어나", "우리 마을에는"),
    "en": ("The city of", "Once upon a time", "In our village"),
}


class CollapseParams(MonitorParams):
    """Parameters of `collapse`."""

    prompts: dict[str, tuple[str, ...]] = Field(
        default_factory=lambda: dict(PROMPTS),
        min_length=1,
        description="language (BCP 47) -> fixed prompts that the model continues at each measurement",
    )
    samples: int = Field(4, ge=1, description="continuations per prompt; self-BLEU needs several")
    tokens: int = Field(48, ge=4, description="maximum length of a continuation, in tokens")
    temperature: float = Field(
        0.8, gt=0, description="sampling temperature; entropy is always measured at temperature 1"
    )

    @field_validator("prompts")
    @classmethod
    def _some(cls, prompts: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for language, given in prompts.items():
            if not given or not all(prompt.strip() for prompt in given):
                raise ValueError(f"{language}: each language needs prompts, and none may be empty")
        return prompts


class MiniParams(MonitorParams):
    """Parameters of `mini`."""

    items: int = Field(10, ge=1, le=100, description="questions for each of four families in each of two languages")
