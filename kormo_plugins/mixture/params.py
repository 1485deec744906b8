"""Parameters of packing, mixing and collating in a recipe, without heavy imports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kormo_plugins.mixture.sampling.weights import Weights


class BestFitParams(BaseModel):
    """Parameters of `best_fit`."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    longer: Literal["cut", "drop"] = Field(
        "cut",
        description="a document longer than a row: `cut` uses all of its pieces, `drop` omits it and counts it",
    )


class PadParams(BestFitParams):
    """Parameters of `pad`."""


class ConcatParams(BaseModel):
    """Parameters of `concat`."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    drop_tail: bool = Field(
        False,
        description="omit the incomplete row at the very end; its tokens are counted",
    )


class StageParams(BaseModel):
    """Different weights from a token count on."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    from_tokens: int = Field(
        gt=0,
        description="tokens of the run, padding included, from which this stage applies; rounded up to a whole step",
    )
    weights: Weights | None = Field(
        None, description="like `weights` of the mixture; null: in proportion to the sources' tokens"
    )
    temperature: float | None = Field(
        None, gt=0, description="like `temperature` of the mixture; null: the value of the mixture"
    )


class WeightedParams(BaseModel):
    """Parameters of the mixing `weighted`."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    weights: Weights | None = Field(
        None,
        description="tree of weights by tokens: source -> number, or group name -> {share, of}; null: in proportion "
        "to the sources' tokens",
    )
    max_epochs: float | dict[str, float] | None = Field(
        None,
        description="maximum passes over a source, one number for all or one per source; null: no limit. "
        "Muennighoff et al. 2023 (arXiv 2305.16264) find up to 4 nearly as good as new data",
    )
    temperature: float = Field(
        1.0,
        gt=0,
        description="exponent 1/T of the shares, normalized afterwards: above 1 flattens them, below 1 sharpens them",
    )
    stages: tuple[StageParams, ...] = Field(
        (), description="changes of the weights during the run, with increasing `from_tokens`"
    )
    shuffle_seed: int | None = Field(None, description="seed of the data order; null: the run's seed")

    @model_validator(mode="after")
    def _ordered(self) -> WeightedParams:
        starts = [stage.from_tokens for stage in self.stages]
        if starts != sorted(set(starts)):
            raise ValueError("stages must be in increasing order of from_tokens")
        limits = self.max_epochs.values() if isinstance(self.max_epochs, dict) else [self.max_epochs]
        if any(limit is not None and limit <= 0 for limit in limits):
            raise ValueError("max_epochs must be above 0")
        return self


class CollatorParams(BaseModel):
    """Parameters of every collator."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    predict_first: bool = Field(
        False, description="predict the first token of a document from the last token of the preceding document"
    )
    ignore_tokens: tuple[int | str, ...] = Field(
        (), description="tokens that are excluded from the loss (`<think>`), as names in the tokenizer or as ids"
    )
    sources: bool = Field(False, description="add `sources` to the batch, int64 [rows]: the source of each row")


class DocumentMaskParams(CollatorParams):
    """Parameters of `document_mask`."""

    cu_seqlens: bool = Field(
        False, description="add cu_seq_lens_q/k and max_length_q/k to the batch, for FlashAttention and varlen backends"
    )


class CausalParams(CollatorParams):
    """Parameters of `causal`: a row is one text, so the first token of a document has no special role."""

    predict_first: bool = Field(
        True, description="predict the first token of a document from the last token of the preceding document"
    )


class MixtureRecipe(BaseModel):
    """How documents are packed into rows and rows mixed into samples: each a component's `name` with its parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    packing: dict[str, Any] = Field(
        default_factory=lambda: {"name": "best_fit"}, description="the packing policy, with its parameters"
    )
    mixture: dict[str, Any] = Field(
        default_factory=lambda: {"name": "weighted"}, description="the mixing method, with its parameters"
    )

    too_long: Literal["reject", "cut"] = Field(
        "reject",
        description="a conversation longer than a row: `reject` omits it and counts it as dropped; `cut` trains on "
        "its pieces, of which the later ones lack the question. Plain texts follow `packing`",
    )

    @field_validator("packing", "mixture")
    @classmethod
    def _named(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(value.get("name"), str):
            raise ValueError("it needs the key `name`")
        return value
