"""Registers the type `kormo` with transformers and Axolotl, and creates its configuration from a shape.

`family.py` exposes both functions through the component contract.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kormo_plugins.architecture.shape import KormoArchitecture, padded_vocab_size
from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

MODEL_TYPE = "kormo"
DTYPES = ("float32", "bfloat16", "float16")
"""Dtypes that weights may be stored in."""


def register() -> None:
    """Registers the type `kormo` with transformers, and with Axolotl if installed. Idempotent."""
    from kormo_plugins.architecture.configuration import KORMoConfig
    from kormo_plugins.architecture.modeling import KORMoForCausalLM, KORMoModel

    register_type(MODEL_TYPE, KORMoConfig, KORMoModel, KORMoForCausalLM)


def register_type(model_type: str, config_class: type, model_class: type, causal_class: type) -> None:
    """Registers a model type with transformers, and with Axolotl if installed."""
    import transformers
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    AutoConfig.register(model_type, config_class, exist_ok=True)
    AutoModel.register(config_class, model_class, exist_ok=True)
    AutoModelForCausalLM.register(config_class, causal_class, exist_ok=True)
    # `transformers serve` looks up the class named in config.json in the package itself.
    setattr(transformers, causal_class.__name__, causal_class)
    if importlib.util.find_spec("axolotl"):
        _register_with_axolotl(model_type)


def config(
    params: KormoArchitecture,
    *,
    vocab_size: int,
    bos_token_id: int | None,
    eos_token_id: int | list[int] | None,
    pad_token_id: int | None,
    kind: Any = None,
    architecture: str = "KORMoForCausalLM",
) -> PretrainedConfig:
    """The configuration of a new model.

    Args:
        params: its shape.
        vocab_size: length of the tokenizer; the model has `padded_vocab_size` of it rows.
        bos_token_id, eos_token_id, pad_token_id: ids of the tokenizer; eos may be several.
        kind, architecture: config class and name of the model class; default: KORMo's.
    Raises:
        KormoError: the tokenizer does not have an id.
    """
    from kormo_plugins.architecture.configuration import KORMoConfig

    ids: dict[str, Any] = {
        "bos_token_id": bos_token_id,
        "eos_token_id": eos_token_id,
        "pad_token_id": pad_token_id,
    }
    check_ids(ids, vocab_size)
    shape: dict[str, Any] = params.model_dump(exclude={"vocab_multiple", "rope_theta"})
    made: PretrainedConfig = (kind or KORMoConfig)(
        **shape,
        **ids,
        vocab_size=padded_vocab_size(vocab_size, params.vocab_multiple),
        rope_parameters={"rope_type": "default", "rope_theta": params.rope_theta},
        hidden_act="silu",
        attention_bias=False,
        attention_dropout=0.0,
        mlp_bias=False,
        use_cache=True,
        architectures=[architecture],
    )
    return made


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of that name.

    Raises:
        KormoError: not one of `DTYPES`.
    """
    import torch

    if name not in DTYPES:
        raise KormoError(
            where="a model's dtype",
            found=repr(name),
            why="weights are not stored in this dtype",
            do=f"use {' or '.join(DTYPES)}",
        )
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def check_ids(ids: Mapping[str, int | list[int] | None], vocab_size: int) -> None:
    """Refuses special-token ids that the tokenizer does not have.

    Raises:
        KormoError: naming the first such id.
    """
    for name, value in ids.items():
        for token in value if isinstance(value, list) else [value]:
            if token is not None and not 0 <= token < vocab_size:
                raise KormoError(
                    where=name,
                    found=str(token),
                    why=f"the tokenizer has the ids 0 to {vocab_size - 1}",
                    do="give the id that the tokenizer has for that token",
                )


def _register_with_axolotl(model_type: str) -> None:
    """Excludes the model type from Axolotl's patches that import `transformers.models.<type>.modeling_<type>`, which
    does not exist for a type from outside transformers."""
    from axolotl.model_support import (
        VANILLA_CAUSAL_LM,
        ModelProfile,
        ModelSupport,
        Unsupported,
        get_model_support,
        register_model_support,
    )

    if get_model_support(model_type) is not None:
        return
    reason = f"The patch looks for a {model_type} module inside transformers; the classes are in kormo_plugins."
    profile = ModelProfile(
        family=VANILLA_CAUSAL_LM,
        capabilities={name: Unsupported(reason) for name in ("lora_kernels", "cut_cross_entropy")},
    )
    support: object = type("KORMoSupport", (ModelSupport,), {"model_types": (model_type,), "profile": profile})
    register_model_support(support)
