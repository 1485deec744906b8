"""The shape of a KORMo model: the numbers that a recipe must give, and the resulting parameter count.

No value has a default, so that two runs of "the same" model cannot differ in a default: a recipe extends a file of
`recipes/sizes/` or gives all values. Pure arithmetic, without torch.

With hidden size d, intermediate size f, h query and g key-value heads of size k, L layers and V model rows:

    embedding V·d    attention L·2·d·k·(h + g)    mlp L·3·d·f    norms (2·L + 1)·d    lm_head V·d
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Count = Annotated[int, Field(strict=True, gt=0)]


class KormoArchitecture(BaseModel):
    """The shape of the model (`kormo.architecture`, beside `name: kormo`); every value is required."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    hidden_size: Count = Field(description="width d of the residual stream")
    intermediate_size: Count = Field(description="width f of the SwiGLU MLP")
    num_hidden_layers: Count = Field(description="decoder layers L")
    num_attention_heads: Count = Field(description="query heads h; must divide hidden_size, as Llama demands")
    num_key_value_heads: Count = Field(
        description="key and value heads g of grouped-query attention (arXiv 2305.13245); must divide h"
    )
    head_dim: Count = Field(description="size k of a head; even, as RoPE turns its dimensions in pairs")
    max_position_embeddings: Count = Field(description="maximum sequence length in tokens that config.json declares")
    rope_theta: float = Field(gt=0, allow_inf_nan=False, description="base of RoPE's wavelengths (arXiv 2104.09864)")
    rms_norm_eps: float = Field(
        gt=0, lt=1, description="epsilon added to the mean square in RMSNorm (arXiv 1910.07467)"
    )
    initializer_range: float = Field(
        gt=0, le=1, description="standard deviation of the normal distribution of initial linear and embedding weights"
    )
    tie_word_embeddings: bool = Field(
        strict=True, description="share the weights of the input embedding with the output layer"
    )
    vocab_multiple: Count = Field(
        description="the vocabulary size V is the tokenizer's length rounded up to a multiple of this; 64 or more "
        "keeps the output matrix product on whole tiles"
    )

    @field_validator("num_attention_heads")
    @classmethod
    def _heads_divide_hidden(cls, heads: int, info: ValidationInfo) -> int:
        hidden = info.data.get("hidden_size", heads)
        if hidden % heads:
            raise ValueError(f"it does not divide hidden_size {hidden}, as a Llama checkpoint demands")
        return heads

    @field_validator("num_key_value_heads")
    @classmethod
    def _groups_divide_heads(cls, groups: int, info: ValidationInfo) -> int:
        heads = info.data.get("num_attention_heads", groups)
        if heads % groups:
            raise ValueError(f"it does not divide num_attention_heads {heads} into equal groups")
        return groups

    @field_validator("head_dim")
    @classmethod
    def _even(cls, size: int) -> int:
        if size % 2:
            raise ValueError("it is odd, and RoPE turns the dimensions of a head in pairs")
        return size


def padded_vocab_size(vocab_size: int, multiple: int) -> int:
    """Rows of the embedding: `vocab_size` rounded up. Idempotent, so callers may pass the tokenizer's length or
    the rows."""
    return -(-vocab_size // multiple) * multiple


def parameters(params: KormoArchitecture, vocab_size: int) -> dict[str, int]:
    """Number of parameters by part.

    Args:
        params: the shape.
        vocab_size: length of the tokenizer (or the model's rows: see `padded_vocab_size`).
    Returns:
        `input_embedding`, `attention`, `mlp`, `norms`, `lm_head` (0 when tied) and their sum, `total`.
    """
    d, layers = params.hidden_size, params.num_hidden_layers
    embedding = padded_vocab_size(vocab_size, params.vocab_multiple) * d
    heads = params.num_attention_heads + params.num_key_value_heads
    parts = {
        "input_embedding": embedding,
        "attention": layers * 2 * d * params.head_dim * heads,  # q and o for h, k and v for g
        "mlp": layers * 3 * d * params.intermediate_size,
        "norms": (2 * layers + 1) * d,
        "lm_head": 0 if params.tie_word_embeddings else embedding,
    }
    return {**parts, "total": sum(parts.values())}
