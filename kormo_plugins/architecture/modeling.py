"""KORMo as transformers classes: Llama's parts, KORMo's names, and one additional check.

A layer is the plain pre-norm residual block

    x = x + Attention(RMSNorm(x))        weights `pre_attention_layernorm`, `self_attn.{q,k,v,o}_proj`
    x = x + MLP(RMSNorm(x))              weights `pre_mlp_layernorm`, `mlp.{gate,up,down}_proj`

so renaming the two norms gives a Llama with bit-identical logits (`layout.py`). Decisions:

*Parts are looked up in `modeling_llama` when a model is built*, not imported by name: fused kernels (Liger)
replace `LlamaRMSNorm` and `LlamaMLP` in that module, and the forward of `LlamaForCausalLM`, which is
inherited here.

*RMSNorm casts as Llama does*: to the weights' dtype first, then times the weight. The published KORMo code
multiplies in fp32 and casts last. In fp32 the two are the same; in bf16 they differ by one rounding per norm:
on a random nano model the logits moved by 0.9% of their standard deviation, while either order is 1.0% away
from the fp32 logits. With Llama's order the trained model, the served export and the fused
kernels compute the same.

*No padding index in the embedding*: torch would freeze that row, and a tokenizer whose pad token is also its
end-of-document token would lose the gradient of the latter. Padding is neither attended to nor predicted, so it
needs no freezing.

*Packed documents* are separated by positions that restart at 0, but transformers only derives a mask from these without
an attention mask and without a cache. With `use_cache`, the default, documents would silently attend to each other; so
that combination raises here, and in training mode the default is no cache.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.llama import modeling_llama
from transformers.models.llama.modeling_llama import LlamaForCausalLM, LlamaModel, LlamaPreTrainedModel
from transformers.utils import is_tracing  # type: ignore[attr-defined]

from kormo_plugins.architecture.configuration import KORMoConfig
from kormo_plugins.errors import KormoError


class KORMoDecoderLayer(GradientCheckpointingLayer):
    """One pre-norm residual block.

    Args:
        config: the model's configuration.
        layer_idx: index of the layer, also in the key-value cache.
    """

    def __init__(self, config: KORMoConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = self.make_attention(config, layer_idx)
        self.mlp = self.make_mlp(config)
        width, eps = config.hidden_size, config.rms_norm_eps
        self.pre_attention_layernorm = modeling_llama.LlamaRMSNorm(width, eps=eps)
        self.pre_mlp_layernorm = modeling_llama.LlamaRMSNorm(width, eps=eps)

    def make_attention(self, config: KORMoConfig, layer_idx: int) -> nn.Module:
        """Creates the attention of this layer; variants override it (`variants/`)."""
        return modeling_llama.LlamaAttention(config=config, layer_idx=layer_idx)

    def make_mlp(self, config: KORMoConfig) -> nn.Module:
        """Creates the MLP of this layer; variants override it."""
        return modeling_llama.LlamaMLP(config)

    def forward(self, hidden_states: torch.Tensor, **kwargs: object) -> torch.Tensor:
        """`hidden_states` [batch, sequence, hidden], and the attention's arguments, to the same shape."""
        attended, _ = self.self_attn(hidden_states=self.pre_attention_layernorm(hidden_states), **kwargs)
        hidden_states = hidden_states + attended
        updated: torch.Tensor = hidden_states + self.mlp(self.pre_mlp_layernorm(hidden_states))
        return updated


class KORMoPreTrainedModel(LlamaPreTrainedModel):
    """Class attributes that transformers needs for this family; the rest is Llama's."""

    config: KORMoConfig
    config_class = KORMoConfig
    _no_split_modules = ["KORMoDecoderLayer"]  # noqa: RUF012
    _can_record_outputs = {  # noqa: RUF012
        "hidden_states": KORMoDecoderLayer,
        "attentions": modeling_llama.LlamaAttention,
    }


class KORMoModel(KORMoPreTrainedModel, LlamaModel):
    """Embedding, layers and final norm: ids [batch, sequence] to states [batch, sequence, hidden]."""

    layer_class: ClassVar[type[nn.Module]] = KORMoDecoderLayer

    def __init__(self, config: KORMoConfig) -> None:
        # Skips LlamaModel, which would build its own layers first: 40 GB at 10B.
        super(LlamaModel, self).__init__(config)
        self.vocab_size = config.vocab_size
        self.padding_idx = None
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(self.make_layer(config, i) for i in range(config.num_hidden_layers))
        self.norm = modeling_llama.LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = modeling_llama.LlamaRotaryEmbedding(config=config)
        self.gradient_checkpointing = False
        self.post_init()

    def make_layer(self, config: KORMoConfig, layer_idx: int) -> nn.Module:
        """Creates the layer with index `layer_idx`."""
        return self.layer_class(config, layer_idx)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: object = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: object,
    ) -> object:
        """As `LlamaModel.forward`, but: `use_cache=None` means no cache in training mode.

        Raises:
            KormoError: positions restart in a row while there is a cache: documents would attend to each other.
        """
        if use_cache is None:
            use_cache = bool(self.config.use_cache) and not self.training
        if (use_cache or past_key_values is not None) and _restarts(position_ids, attention_mask):
            raise KormoError(
                where="KORMoModel.forward",
                found="position_ids that restart within a row, together with a key-value cache",
                why="packed documents are only separated without a cache; these would attend to each other",
                do="pass use_cache=False and no past_key_values, or give each document a row of its own",
            )
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )


class KORMoForCausalLM(KORMoPreTrainedModel, LlamaForCausalLM):
    """KORMo with its output layer: ids [batch, sequence] to logits [batch, sequence, rows]."""

    body_class: ClassVar[type[KORMoModel]] = KORMoModel

    def __init__(self, config: KORMoConfig) -> None:
        super(LlamaForCausalLM, self).__init__(config)  # skips LlamaForCausalLM, as above
        self.model = self.body_class(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()


def _restarts(position_ids: torch.Tensor | None, attention_mask: torch.Tensor | None) -> bool:
    """Whether positions fail to increase between two adjacent tokens that are not padding.

    Positions [batch, sequence]; a mask [batch, keys] marks padding, whose positions are ignored. Other
    masks determine attention themselves. False for decoding (one token) and tracing, where values are unknown.
    """
    if position_ids is None or position_ids.ndim != 2 or position_ids.shape[1] < 2:
        return False
    if is_tracing(position_ids):
        return False
    backwards = position_ids[:, 1:] <= position_ids[:, :-1]
    if attention_mask is not None:
        if not isinstance(attention_mask, torch.Tensor) or attention_mask.ndim != 2:
            return False
        counts = attention_mask[:, -position_ids.shape[1] :].to(backwards.device, torch.bool)
        backwards = backwards & counts[:, 1:] & counts[:, :-1]
    return bool(backwards.any())
