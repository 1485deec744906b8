"""The equivalent transformers class of a variant, if there is one.

    kormo_qk_norm, qk_norm: head           Qwen3     q_norm and k_norm over a head, pre-norm
    kormo_post_norm, qk_norm: projection   OLMo 2    norms on sublayer outputs, q_norm and k_norm over all heads
    kormo_mtp                              Llama     without the layers of the later tokens, which do not generate
    kormo_moe                              Mixtral   one file entry per expert and matrix, as Mixtral is published

All others have none: a conversion would change what the model computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kormo_plugins.architecture.layout import TO_LLAMA, renamed
from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    import torch

    Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Form:
    """A plain layout.

    Args:
        model_type: of transformers.
        name: display name.
        architecture: its class for causal language models.
        convert: weights of one file -> weights of the plain layout's file.
        config: additional fields of the plain config.
        within: maximum difference of logits; above 0 if the order of sums may differ.
    """

    model_type: str
    name: str
    architecture: str
    convert: Callable[[Weights], dict[str, torch.Tensor]]
    config: Callable[[Mapping[str, object]], dict[str, object]] = lambda fields: {}
    within: float = 0.0


def to_llama(weights: Weights) -> dict[str, torch.Tensor]:
    """Renames KORMo's two norms to Llama's names."""
    return renamed(weights, TO_LLAMA)


def without_future(weights: Weights) -> dict[str, torch.Tensor]:
    """The main model of a `kormo_mtp`, as a Llama."""
    return to_llama({name: weight for name, weight in weights.items() if ".future_layers." not in name})


def to_mixtral(weights: Weights) -> dict[str, torch.Tensor]:
    """Splits the three matrices of each expert: w1 is the gate, w3 up, w2 down."""
    made: dict[str, torch.Tensor] = {}
    for name, weight in to_llama(weights).items():
        block, _, part = name.partition(".mlp.")
        if not part:
            made[name] = weight
        elif part == "gate.weight":
            made[f"{block}.block_sparse_moe.gate.weight"] = weight
        else:
            for expert, matrix in enumerate(weight):
                place = f"{block}.block_sparse_moe.experts.{expert}"
                if part == "experts.gate_up_proj":
                    gate, up = matrix.chunk(2, dim=0)
                    made[f"{place}.w1.weight"], made[f"{place}.w3.weight"] = gate.contiguous(), up.contiguous()
                else:
                    made[f"{place}.w2.weight"] = matrix.contiguous()
    return made


def _mixtral_fields(fields: Mapping[str, object]) -> dict[str, object]:
    kept = ("num_local_experts", "num_experts_per_tok", "router_aux_loss_coef")
    return {**{key: fields[key] for key in kept}, "output_router_logits": False, "sliding_window": None}


LLAMA = Form("llama", "Llama", "LlamaForCausalLM", without_future)
QWEN3 = Form("qwen3", "Qwen3", "Qwen3ForCausalLM", to_llama, lambda fields: {"use_sliding_window": False})
OLMO2 = Form("olmo2", "OLMo 2", "Olmo2ForCausalLM", dict)
MIXTRAL = Form("mixtral", "Mixtral", "MixtralForCausalLM", to_mixtral, _mixtral_fields, within=1e-5)


def form_of(model_type: str, fields: Mapping[str, object]) -> Form | str:
    """The plain form of a variant, or the reason why it has none.

    Args:
        fields: of config.json or of `kormo.architecture`.
    """
    norm = fields.get("qk_norm")
    if model_type == "kormo_qk_norm":
        return QWEN3 if norm == "head" else "no class of transformers norms all heads together between pre-norms"
    if model_type == "kormo_post_norm":
        if norm == "projection":
            return OLMO2
        return "transformers' only class with norms on what sublayers give is OLMo 2, whose qk_norm is projection"
    if model_type == "kormo_mix_ln":
        return (
            f"its first {fields.get('post_norm_layers')} layers normalise after the residual sum, which no class does"
        )
    return LLAMA if model_type == "kormo_mtp" else MIXTRAL


def need_form(model_type: str, fields: Mapping[str, object], where: str, do: str) -> Form:
    """The plain form.

    Args:
        do: advice of the error.
    Raises:
        KormoError: there is none.
    """
    form = form_of(model_type, fields)
    if isinstance(form, str):
        raise KormoError(where=where, found=model_type, why=f"it has no Llama form: {form}", do=do)
    return form
