"""Placement of the norms: three decoder layers, and the models built from them.

    pre-norm (KORMo)      x + F(N(x))     gradients flow past every layer; the residual stream grows with depth
    post-norm (OLMo 2)    x + N(F(x))     the output of a layer is bounded (arXiv 2501.00656; "res-post-norm" of Swin
    v2) Post-LN (2017)        N(x + F(x))     the stream is normalized at each layer; deep models need warmup
    Mix-LN                Post-LN in the first layers, pre-norm in the others (Li et al. 2024, arXiv 2412.13795)

Mix-LN's authors find that pre-norm leaves the deep layers and Post-LN the first ones with small gradients, and that a
quarter of Post-LN layers is a good compromise. KORMo compared it with pre-norm and kept pre-norm.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.llama import modeling_llama

from kormo_plugins.architecture.configuration import KORMoConfig
from kormo_plugins.architecture.modeling import KORMoDecoderLayer, KORMoForCausalLM, KORMoModel
from kormo_plugins.architecture.variants.attention import attention
from kormo_plugins.architecture.variants.configurations import KORMoMixLnConfig, KORMoPostNormConfig, KORMoQkNormConfig

RECORDED: dict[str, object] = {"attentions": modeling_llama.LlamaAttention}


class KORMoQkNormDecoderLayer(KORMoDecoderLayer):
    """KORMo's layer with the attention of the config."""

    def make_attention(self, config: KORMoConfig, layer_idx: int) -> nn.Module:
        """Attention with normalized queries and keys."""
        return attention(config, layer_idx)


class KORMoPostNormDecoderLayer(GradientCheckpointingLayer):
    """x + N(F(x)), twice; weight names are those of OLMo 2."""

    def __init__(self, config: KORMoConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = attention(config, layer_idx)
        self.mlp = modeling_llama.LlamaMLP(config)
        width, eps = config.hidden_size, config.rms_norm_eps
        self.post_attention_layernorm = modeling_llama.LlamaRMSNorm(width, eps=eps)
        self.post_feedforward_layernorm = modeling_llama.LlamaRMSNorm(width, eps=eps)

    def forward(self, hidden_states: torch.Tensor, **kwargs: object) -> torch.Tensor:
        """`hidden_states` [batch, sequence, hidden], and the attention's arguments, to the same shape."""
        attended, _ = self.self_attn(hidden_states=hidden_states, **kwargs)
        hidden_states = hidden_states + self.post_attention_layernorm(attended)
        updated: torch.Tensor = hidden_states + self.post_feedforward_layernorm(self.mlp(hidden_states))
        return updated


class PostLnDecoderLayer(GradientCheckpointingLayer):
    """N(x + F(x)), twice: the order of Vaswani et al. 2017 (arXiv 1706.03762), with RMSNorm."""

    def __init__(self, config: KORMoConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = attention(config, layer_idx)
        self.mlp = modeling_llama.LlamaMLP(config)
        width, eps = config.hidden_size, config.rms_norm_eps
        self.post_attention_layernorm = modeling_llama.LlamaRMSNorm(width, eps=eps)
        self.post_mlp_layernorm = modeling_llama.LlamaRMSNorm(width, eps=eps)

    def forward(self, hidden_states: torch.Tensor, **kwargs: object) -> torch.Tensor:
        """`hidden_states` [batch, sequence, hidden], and the attention's arguments, to the same shape."""
        attended, _ = self.self_attn(hidden_states=hidden_states, **kwargs)
        hidden_states = self.post_attention_layernorm(hidden_states + attended)
        updated: torch.Tensor = self.post_mlp_layernorm(hidden_states + self.mlp(hidden_states))
        return updated


class KORMoQkNormModel(KORMoModel):
    """KORMo's body with normalized queries and keys."""

    config_class = KORMoQkNormConfig
    _no_split_modules = ["KORMoQkNormDecoderLayer"]  # noqa: RUF012
    _can_record_outputs = {"hidden_states": KORMoQkNormDecoderLayer, **RECORDED}  # noqa: RUF012
    layer_class = KORMoQkNormDecoderLayer


class KORMoQkNormForCausalLM(KORMoForCausalLM):
    """`kormo_qk_norm` with its output layer."""

    config_class = KORMoQkNormConfig
    _no_split_modules = ["KORMoQkNormDecoderLayer"]  # noqa: RUF012
    body_class = KORMoQkNormModel


class KORMoPostNormModel(KORMoModel):
    """A body of post-norm layers with a final norm, as in OLMo 2."""

    config_class = KORMoPostNormConfig
    _no_split_modules = ["KORMoPostNormDecoderLayer"]  # noqa: RUF012
    _can_record_outputs = {"hidden_states": KORMoPostNormDecoderLayer, **RECORDED}  # noqa: RUF012
    layer_class = KORMoPostNormDecoderLayer


class KORMoPostNormForCausalLM(KORMoForCausalLM):
    """`kormo_post_norm` with its output layer."""

    config_class = KORMoPostNormConfig
    _no_split_modules = ["KORMoPostNormDecoderLayer"]  # noqa: RUF012
    body_class = KORMoPostNormModel


class KORMoMixLnModel(KORMoModel):
    """A body with Post-LN in the first `post_norm_layers` layers, KORMo's layers after them."""

    config_class = KORMoMixLnConfig
    _no_split_modules = ["PostLnDecoderLayer", "KORMoDecoderLayer"]  # noqa: RUF012
    _can_record_outputs = {"hidden_states": [PostLnDecoderLayer, KORMoDecoderLayer], **RECORDED}  # noqa: RUF012

    def make_layer(self, config: KORMoConfig, layer_idx: int) -> nn.Module:
        """Creates the layer with index `layer_idx`."""
        first = layer_idx < config.post_norm_layers
        return PostLnDecoderLayer(config, layer_idx) if first else KORMoDecoderLayer(config, layer_idx)


class KORMoMixLnForCausalLM(KORMoForCausalLM):
    """`kormo_mix_ln` with its output layer."""

    config_class = KORMoMixLnConfig
    _no_split_modules = ["PostLnDecoderLayer", "KORMoDecoderLayer"]  # noqa: RUF012
    body_class = KORMoMixLnModel
