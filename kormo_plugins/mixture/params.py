"""Parameters of packing, mixing and collating in a recipe, without heavy imports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kormo_plugins.mixture.sampling.weights import Weights


class BestFitParams(BaseModel):
    """Parameters of `best_fit`."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    longer: Literal["cut", "drop"] = Field(
        "cut",
        description="a document longer than a row: `cut` uses every piece, `drop` leaves it out, counted",
    )


class PadParams(BestFitParams):
    """Parameters of `pad`."""


class ConcatParams(BaseModel):
    """Parameters of `concat`."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    drop_tail: bool = Field(
        False,
        description="leave out the tokens, fewer than a row, that remain at the very end; they are counted",
    )


class StageParams(BaseModel):
    """Different weights from a token count on."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    from_tokens: int = Field(
        gt=0,
        description="tokens of the run, padding included, from which on this stage holds; rounded up to a whole step",
    )
    weights: Weights | None = Field(None, description="as `weights` of the mixture; null: the sources' own sizes")
    temperature: float | None = Field(None, gt=0, description="null: that of the mixture")


class WeightedParams(BaseModel):
    """Parameters of the mixing `weighted`."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    weights: Weights | None = Field(
        None,
        description="tree of weights by tokens: source -> number, or name -> {share, of}; "
        "null: each source weighs as many tokens as it has",
    )
    max_epochs: float | dict[str, float] | None = Field(
        None,
        description="how often a source may be gone through, for all or by source; null: as often as needed. "
        "Muennighoff et al. 2023 (arXiv 2305.16264) find up to 4 nearly as good as new data",
    )
    temperature: float = Field(1.0, gt=0, description="above 1 flattens the shares, below 1 sharpens them")
    stages: tuple[StageParams, ...] = Field((), description="changes of the weights, at rising token counts")
    shuffle_seed: int | None = Field(None, description="seed of the order of the data; null: the run's seed")

    @model_validator(mode="after")
    def _ordered(self) -> WeightedParams:
        starts = [stage.from_tokens for stage in self.stages]
        if starts != sorted(set(starts)):
            raise ValueError("stages must come in rising order of from_tokens")
        limits = self.max_epochs.values() if isinstance(self.max_epochs, dict) else [self.max_epochs]
        if any(limit is not None and limit <= 0 for limit in limits):
            raise ValueError("max_epochs must be above 0")
        return self


class CollatorParams(BaseModel):
    """Parameters of every collator."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    predict_first: bool = Field(
        False, description="predict the first token of a document from the last one of the document before it"
    )
    ignore_tokens: tuple[int | str, ...] = Field(
        (), description="tokens that are left out of the loss (`<think>`), by name or by id; names are the tokenizer's"
    )
    sources: bool = Field(False, description="add `sources`, int64 [rows]: which source each row is of")


class DocumentMaskParams(CollatorParams):
    """Parameters of `document_mask`."""

    cu_seqlens: bool = Field(
        False, description="add cu_seq_lens_q/k and max_length_q/k, for FlashAttention and varlen backends"
    )


class CausalParams(CollatorParams):
    """Parameters of `causal`: a row is one text, so the first token of a document has no special role."""

    predict_first: bool = Field(True, description="predict the first token of a document from the one before it")


class MixtureRecipe(BaseModel):
    """How documents are packed into rows and rows mixed into samples: each a component's `name` with its parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    packing: dict[str, Any] = Field(
        default_factory=lambda: {"name": "best_fit"}, description="a packing policy and its parameters"
    )
    mixture: dict[str, Any] = Field(
        default_factory=lambda: {"name": "weighted"}, description="a mixing and its parameters"
    )

    too_long: Literal["reject", "cut"] = Field(
        "reject",
        description="a conversation longer than a row: `reject` leaves it out, counted as dropped; `cut` trains on its "
        "pieces, the later ones without the question. Texts go by `packing`",
    )

    @model_validator(mode="after")
    def _named(self) -> MixtureRecipe:
        for key in ("packing", "mixture"):
            if not isinstance(getattr(self, key).get("name"), str):
                raise ValueError(f"{key} needs a name")
        return self
