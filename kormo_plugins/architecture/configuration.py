"""`KORMoConfig`: the config.json of a KORMo checkpoint.

The fields are Llama's. In addition, missing fields are refused: transformers would fill in Llama's defaults (RoPE base
10,000, epsilon 1e-6), which silently gives a different model.
"""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import LlamaConfig

from kormo_plugins.errors import KormoError
from kormo_plugins.store.model_json import rope_base

REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
)
ROPE = ("rope_parameters", "rope_theta")
"""Keys of RoPE's base: transformers 5 writes the first, the published checkpoints have the second."""


class KORMoConfig(LlamaConfig):
    """Configuration of a KORMo model.

    Takes the arguments of `LlamaConfig`; KORMo has no biases, no dropout and no RoPE scaling. Create one
    with the component `kormo`, which requires every value; the class itself must be callable without arguments,
    since transformers compares a config with its class's defaults when it saves one.
    """

    model_type = "kormo"
    own: ClassVar[tuple[str, ...]] = ()
    """Additional required fields of a variant (`variants/`)."""

    @classmethod
    def from_dict(cls, config_dict: dict[str, object], **kwargs: object) -> Any:
        """A config from the content of a config.json.

        Raises:
            KormoError: a missing value, which would silently become a Llama default, or two RoPE bases.
        """
        missing = [key for key in (*REQUIRED, *cls.own) if config_dict.get(key) is None]
        if all(config_dict.get(key) is None for key in ROPE):
            missing.append("rope_theta")
        if missing:
            raise KormoError(
                where=f"config.json of a {cls.model_type} checkpoint",
                found=f"no {', '.join(missing)}",
                why="transformers would silently fill in Llama's defaults, which gives a different model",
                do="add the values that the model was trained with",
            )
        rope_base(config_dict, f"config.json of a {cls.model_type} checkpoint")
        return super().from_dict(config_dict, **kwargs)
