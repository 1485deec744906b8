"""The component `kormo`: the model family behind the contract of `hookspecs.py`.

    family = registry().load("architecture", "kormo")
    family.register()  # AutoModelForCausalLM now opens KORMo folders
    config = family.config(params, vocab_size=125_041, bos_token_id=125_030, eos_token_id=125_031,
                           pad_token_id=125_032)
    model = family.initial(config, seed=42, dtype="bfloat16")

torch and transformers are imported by the methods, so that listing components stays instant.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.architecture.initialization import draw
from kormo_plugins.architecture.layout import FROM_LLAMA, TO_LLAMA, kormo_config, llama_config, renamed
from kormo_plugins.architecture.shape import KormoArchitecture, model_rows
from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

    from kormo_plugins.architecture.modeling import KORMoForCausalLM

MODEL_TYPE = "kormo"
DTYPES = ("float32", "bfloat16", "float16")
"""Dtypes that weights may be stored in."""


class KORMoFamily:
    """KORMo: see `modeling.py` for the mathematics."""

    def register(self) -> None:
        """Teaches transformers, and Axolotl where it is installed, the type `kormo`. Calling it again changes
        nothing."""
        import transformers
        from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

        from kormo_plugins.architecture.configuration import KORMoConfig
        from kormo_plugins.architecture.modeling import KORMoForCausalLM, KORMoModel

        AutoConfig.register(MODEL_TYPE, KORMoConfig, exist_ok=True)
        AutoModel.register(KORMoConfig, KORMoModel, exist_ok=True)
        AutoModelForCausalLM.register(KORMoConfig, KORMoForCausalLM, exist_ok=True)
        # `transformers serve` looks the class that config.json names up in the package itself.
        setattr(transformers, KORMoForCausalLM.__name__, KORMoForCausalLM)
        if importlib.util.find_spec("axolotl"):
            _register_with_axolotl()

    def config(
        self,
        params: KormoArchitecture,
        *,
        vocab_size: int,
        bos_token_id: int | None,
        eos_token_id: int | list[int] | None,
        pad_token_id: int | None,
    ) -> PretrainedConfig:
        """The configuration of a new model.

        Args:
            params: its shape.
            vocab_size: length of the tokenizer; the model gets `model_rows` of it.
            bos_token_id, eos_token_id, pad_token_id: ids of the tokenizer; eos may be several.
        Raises:
            KormoError: an id is not one of the tokenizer's.
        """
        from kormo_plugins.architecture.configuration import KORMoConfig

        ids: dict[str, Any] = {
            "bos_token_id": bos_token_id,
            "eos_token_id": eos_token_id,
            "pad_token_id": pad_token_id,
        }
        check_ids(ids, vocab_size)
        shape: dict[str, Any] = params.model_dump(exclude={"vocab_multiple", "rope_theta"})
        return KORMoConfig(
            **shape,
            **ids,
            vocab_size=model_rows(vocab_size, params.vocab_multiple),
            rope_parameters={"rope_type": "default", "rope_theta": params.rope_theta},
            hidden_act="silu",
            attention_bias=False,
            attention_dropout=0.0,
            mlp_bias=False,
            use_cache=True,
            architectures=["KORMoForCausalLM"],
        )

    def initial(self, config: PretrainedConfig, seed: int, dtype: str) -> KORMoForCausalLM:
        """A new model in memory, with the weights of `initialization.draw`; no global random state is used.

        Args:
            config: from `config()`.
            seed: seed of the recipe.
            dtype: one of `DTYPES`.
        Raises:
            KormoError: another dtype.
        """
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.initialization import no_init_weights

        self.register()
        kind = torch_dtype(dtype)
        with no_init_weights():
            model = AutoModelForCausalLM.from_config(config, dtype=kind)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                shape = tuple(weight.shape)
                weight.copy_(draw(name, shape, seed=seed, std=config.initializer_range, dtype=kind))
        return model

    def write_initial(self, out: Path, params: KormoArchitecture, **options: Any) -> dict[str, Any]:
        """The checkpoint that a run from scratch starts with; see `checkpoint.write_initial`."""
        from kormo_plugins.architecture.checkpoint import write_initial

        return write_initial(out, params, **options)

    def export_llama(self, checkpoint: Path, out: Path) -> dict[str, Any]:
        """The checkpoint as a plain Llama, verified by logits; see `export.export_llama`."""
        from kormo_plugins.architecture.export import export_llama

        return export_llama(checkpoint, out)

    def import_llama(self, checkpoint: Path, out: Path) -> dict[str, Any]:
        """A plain Llama checkpoint as one of this family, verified by logits; see `export.import_llama`."""
        from kormo_plugins.architecture.export import import_llama

        return import_llama(checkpoint, out)

    def to_llama(
        self, config: PretrainedConfig, weights: Mapping[str, torch.Tensor]
    ) -> tuple[PretrainedConfig, dict[str, torch.Tensor]]:
        """The same model as a plain Llama: a `LlamaConfig`, and the same tensors under Llama's names."""
        return llama_config(config), renamed(weights, TO_LLAMA)

    def from_llama(
        self, config: PretrainedConfig, weights: Mapping[str, torch.Tensor]
    ) -> tuple[PretrainedConfig, dict[str, torch.Tensor]]:
        """The same model as a KORMo: the inverse of `to_llama`."""
        return kormo_config(config), renamed(weights, FROM_LLAMA)


KORMO = KORMoFamily()


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of that name.

    Raises:
        KormoError: not one of `DTYPES`.
    """
    import torch

    if name not in DTYPES:
        raise KormoError("a model's dtype", repr(name), "weights are not stored so", f"use {' or '.join(DTYPES)}")
    return getattr(torch, name)


def check_ids(ids: Mapping[str, int | list[int] | None], vocab_size: int) -> None:
    """Refuses special-token ids that the tokenizer does not have.

    Raises:
        KormoError: naming the first such id.
    """
    for name, value in ids.items():
        for token in value if isinstance(value, list) else [value]:
            if token is not None and not 0 <= token < vocab_size:
                raise KormoError(
                    name, str(token), f"the tokenizer has the ids 0 to {vocab_size - 1}",
                    "give the id that the tokenizer has for that token",
                )  # fmt: skip


def _register_with_axolotl() -> None:
    """Tells Axolotl which of its own patches must not be tried: they import
    `transformers.models.<type>.modeling_<type>`, which a type from outside transformers does not have."""
    from axolotl.model_support import (
        VANILLA_CAUSAL_LM,
        ModelProfile,
        ModelSupport,
        Unsupported,
        get_model_support,
        register_model_support,
    )

    if get_model_support(MODEL_TYPE) is not None:
        return
    reason = "The patch looks for a kormo module inside transformers; the classes are in kormo_plugins."
    profile = ModelProfile(
        family=VANILLA_CAUSAL_LM,
        capabilities={name: Unsupported(reason) for name in ("lora_kernels", "cut_cross_entropy")},
    )
    support: Any = type("KORMoSupport", (ModelSupport,), {"model_types": (MODEL_TYPE,), "profile": profile})
    register_model_support(support)
