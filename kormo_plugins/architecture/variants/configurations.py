"""Configuration of each variant: KORMo's fields and its own, all required in a config.json."""

from __future__ import annotations

from kormo_plugins.architecture.configuration import KORMoConfig


class KORMoQkNormConfig(KORMoConfig):
    """See `params.QkNormArchitecture`."""

    model_type = "kormo_qk_norm"
    own = ("qk_norm",)
    qk_norm: str = "head"


class KORMoPostNormConfig(KORMoConfig):
    """See `params.PostNormArchitecture`."""

    model_type = "kormo_post_norm"
    own = ("qk_norm",)
    qk_norm: str = "projection"


class KORMoMixLnConfig(KORMoConfig):
    """See `params.MixLnArchitecture`."""

    model_type = "kormo_mix_ln"
    own = ("post_norm_layers",)
    post_norm_layers: int = 1


class KORMoMtpConfig(KORMoConfig):
    """See `params.MtpArchitecture`."""

    model_type = "kormo_mtp"
    own = ("future_tokens", "future_loss_weight")
    future_tokens: int = 1
    future_loss_weight: float = 1.0


class KORMoMoeConfig(KORMoConfig):
    """See `params.MoeArchitecture`. `router_jitter_noise` is required by transformers' block; it is 0 here."""

    model_type = "kormo_moe"
    own = ("num_local_experts", "num_experts_per_tok", "router_aux_loss_coef")
    num_local_experts: int = 8
    num_experts_per_tok: int = 2
    router_aux_loss_coef: float = 0.01
    router_jitter_noise: float = 0.0
