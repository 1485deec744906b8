"""Recipe parameters of each variant beyond KORMo's own. Pure pydantic, without torch.

As in `shape.py`, no value has a default, and every key that the FLOPs depend on is named as in config.json.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from kormo_plugins.architecture.shape import Count, KormoArchitecture


class QkNormArchitecture(KormoArchitecture):
    """KORMo with a norm on queries and keys (`name: kormo_qk_norm`)."""

    qk_norm: Literal["head", "projection"] = Field(
        description="`head`: RMSNorm over each head's k values, one weight for all heads (Qwen3, arXiv 2505.09388); "
        "`projection`: over all heads at once (OLMo 2, arXiv 2501.00656), which has no Llama form before a pre-norm"
    )


class PostNormArchitecture(KormoArchitecture):
    """Norms on sublayer outputs instead of inputs (`name: kormo_post_norm`)."""

    qk_norm: Literal["none", "head", "projection"] = Field(
        description="RMSNorm of queries and keys, as in kormo_qk_norm; OLMo 2 uses `projection`, the only one with a "
        "class in transformers"
    )


class MixLnArchitecture(KormoArchitecture):
    """Post-LN in the first layers, Pre-LN in the others (`name: kormo_mix_ln`)."""

    post_norm_layers: Count = Field(
        description="number of layers, from the first, with Post-LN (norm after the residual sum); the Mix-LN paper "
        "uses a quarter of all"
    )

    @field_validator("post_norm_layers")
    @classmethod
    def _within(cls, layers: int, info: ValidationInfo) -> int:
        if layers > (all_layers := info.data.get("num_hidden_layers", layers)):
            raise ValueError(f"there are {all_layers} layers")
        return layers


class MtpArchitecture(KormoArchitecture):
    """KORMo that also predicts later tokens while it is trained (`name: kormo_mtp`)."""

    future_tokens: Count = Field(
        description="tokens predicted beyond the next one, each by its own layer on top of the trunk (arXiv 2404.19737)"
    )
    future_loss_weight: float = Field(
        gt=0,
        allow_inf_nan=False,
        description="weight of the loss of each later token; that of the next token has weight 1",
    )

    @field_validator("future_tokens")
    @classmethod
    def _has_a_trunk(cls, tokens: int, info: ValidationInfo) -> int:
        if info.data.get("num_hidden_layers", 2) < 2:
            raise ValueError("the heads stand on the layers before the last, so num_hidden_layers must be 2 or more")
        return tokens


class MoeArchitecture(KormoArchitecture):
    """KORMo whose MLPs are mixtures of experts (`name: kormo_moe`)."""

    num_local_experts: Count = Field(description="experts E per layer, each an MLP of width intermediate_size")
    num_experts_per_tok: Count = Field(
        description="experts to which each token is routed; their router weights are divided by their sum"
    )
    router_aux_loss_coef: float = Field(
        ge=0, allow_inf_nan=False, description="weight of the load-balancing loss (Switch, arXiv 2101.03961, eq. 4-6)"
    )

    @field_validator("num_experts_per_tok")
    @classmethod
    def _within(cls, taken: int, info: ValidationInfo) -> int:
        if taken > (experts := info.data.get("num_local_experts", taken)):
            raise ValueError(f"there are {experts} experts")
        return taken
