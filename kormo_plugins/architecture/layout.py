"""Mapping between KORMo's and Llama's weight names: only two norms per layer differ.

    model.layers.N.pre_attention_layernorm  <->  model.layers.N.input_layernorm
    model.layers.N.pre_mlp_layernorm        <->  model.layers.N.post_attention_layernorm

Note that Llama's `post_attention_layernorm` is the norm *before* the MLP. The authors showed that this renaming gives
bit-identical fp32 logits (huggingface/transformers #46427).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from kormo_plugins.architecture.files import NOTE
from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

T = TypeVar("T")

TO_LLAMA = {
    ".pre_attention_layernorm.": ".input_layernorm.",
    ".pre_mlp_layernorm.": ".post_attention_layernorm.",
}
FROM_LLAMA = {theirs: ours for ours, theirs in TO_LLAMA.items()}


def renamed(weights: Mapping[str, T], names: Mapping[str, str]) -> dict[str, T]:
    """Renames `weights` to the other layout; values and order do not change.

    Args:
        weights: name of each weight in the source layout -> anything.
        names: `TO_LLAMA` or `FROM_LLAMA`.
    Raises:
        KormoError: a name already belongs to the target layout, so the source has the wrong layout.
    """
    out: dict[str, T] = {}
    for name, value in weights.items():
        if any(new in name for new in names.values()):
            raise KormoError(
                where="the weights of a checkpoint",
                found=f"the name {name!r}",
                why="it already belongs to the target layout",
                do="give a checkpoint of the other layout: its config.json says which one it is",
            )
        for old, new in names.items():
            name = name.replace(old, new)
        out[name] = value
    return out


def llama_config(config: PretrainedConfig) -> PretrainedConfig:
    """The `LlamaConfig` equivalent to a `KORMoConfig`."""
    from transformers import LlamaConfig

    return LlamaConfig.from_dict({**portable(config), "architectures": ["LlamaForCausalLM"]})


def kormo_config(config: PretrainedConfig) -> PretrainedConfig:
    """The `KORMoConfig` equivalent to a `LlamaConfig`."""
    from kormo_plugins.architecture.configuration import KORMoConfig

    made: PretrainedConfig = KORMoConfig.from_dict({**portable(config), "architectures": ["KORMoForCausalLM"]})
    return made


def portable(config: PretrainedConfig) -> dict[str, object]:
    """All fields except those that name the class; `auto_map` names remote code, which is never run."""
    fields = config.to_dict()
    return {key: fields[key] for key in fields if key not in ("model_type", "auto_map", "architectures", *NOTE)}
