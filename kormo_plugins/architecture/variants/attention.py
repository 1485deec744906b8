"""Attention with a norm on queries and keys, before RoPE.

    q = RoPE(RMSNorm(W_q x))    k = RoPE(RMSNorm(W_k x))

bounds the attention logits for any weights (Henry et al. 2020, arXiv 2010.04245; Dehghani et al. 2023,
arXiv 2302.05442). `head` normalizes the k values of each head with a weight shared by all heads (Qwen3), `projection`
all heads together (OLMo 2). The rest is Llama's attention, looked up in `modeling_llama` at run time.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama import modeling_llama

from kormo_plugins.architecture.configuration import KORMoConfig


class QkNormAttention(modeling_llama.LlamaAttention):
    """Llama's attention with `q_norm` and `k_norm`.

    Args:
        config: with `qk_norm`, `head` or `projection`.
        layer_idx: index in the key-value cache.
    """

    def __init__(self, config: KORMoConfig, layer_idx: int) -> None:
        super().__init__(config=config, layer_idx=layer_idx)
        self.by_head = config.qk_norm == "head"
        queries, keys = (
            self.head_dim if self.by_head else heads * self.head_dim
            for heads in (config.num_attention_heads, config.num_key_value_heads or config.num_attention_heads)
        )
        self.q_norm = modeling_llama.LlamaRMSNorm(queries, eps=config.rms_norm_eps)
        self.k_norm = modeling_llama.LlamaRMSNorm(keys, eps=config.rms_norm_eps)

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Any = None,
        **kwargs: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `LlamaAttention.forward`: states [batch, sequence, hidden] to the same, and the attention weights."""
        assert position_embeddings is not None
        shape = hidden_states.shape[:-1]
        heads = (*shape, -1, self.head_dim)
        query = self._normed(self.q_proj(hidden_states), self.q_norm, heads).transpose(1, 2)
        key = self._normed(self.k_proj(hidden_states), self.k_norm, heads).transpose(1, 2)
        value = self.v_proj(hidden_states).view(heads).transpose(1, 2)
        query, key = modeling_llama.apply_rotary_pos_emb(query, key, *position_embeddings)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, modeling_llama.eager_attention_forward
        )
        dropout = self.attention_dropout if self.training else 0.0
        attended, weights = attend(
            self, query, key, value, attention_mask, dropout=dropout, scaling=self.scaling, **kwargs
        )
        return self.o_proj(attended.reshape(*shape, -1).contiguous()), weights

    def _normed(self, projected: torch.Tensor, norm: Any, heads: tuple[int, ...]) -> torch.Tensor:
        """[batch, sequence, heads · k] to [batch, sequence, heads, k], normalized."""
        normed: torch.Tensor = norm(projected.view(heads)) if self.by_head else norm(projected).view(heads)
        return normed


def attention(config: KORMoConfig, layer_idx: int) -> torch.nn.Module:
    """The attention of a config: Llama's if `qk_norm` is missing or `none`."""
    if getattr(config, "qk_norm", "none") == "none":
        return modeling_llama.LlamaAttention(config=config, layer_idx=layer_idx)
    return QkNormAttention(config, layer_idx)
