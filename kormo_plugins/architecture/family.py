"""The component `kormo`, which implements the model family contract of `hookspecs.py`.

    family = registry().load("architecture", "kormo")
    family.register()  # AutoModelForCausalLM now opens KORMo folders
    config = family.config(params, vocab_size=125_041, bos_token_id=125_030, eos_token_id=125_031,
                           pad_token_id=125_032)
    model = family.initial(config, seed=42, dtype="bfloat16")

The methods import torch and transformers, so that listing components is fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.architecture import registration
from kormo_plugins.architecture.checkpoint import write_initial
from kormo_plugins.architecture.export import export_llama, import_llama
from kormo_plugins.architecture.initialization import draw
from kormo_plugins.architecture.layout import FROM_LLAMA, TO_LLAMA, kormo_config, llama_config, renamed
from kormo_plugins.architecture.shape import KormoArchitecture

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

    from kormo_plugins.architecture.modeling import KORMoForCausalLM


class KORMoFamily:
    """KORMo: see `modeling.py` for the mathematics."""

    def register(self) -> None:
        """Registers the type `kormo` with transformers and Axolotl; see `registration.register`."""
        registration.register()

    def config(self, params: KormoArchitecture, **ids: Any) -> PretrainedConfig:
        """The configuration of a new model; see `registration.config`."""
        return registration.config(params, **ids)

    def initial(self, config: PretrainedConfig, seed: int, dtype: str) -> KORMoForCausalLM:
        """A new model in memory with the weights of `initialization.draw`; does not use the global random state.

        Args:
            config: from `config()`.
            seed: seed of the recipe.
            dtype: one of `DTYPES`.
        Raises:
            KormoError: unknown dtype.
        """
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.initialization import no_init_weights

        self.register()
        kind = registration.torch_dtype(dtype)
        with no_init_weights():
            model: KORMoForCausalLM = AutoModelForCausalLM.from_config(config, dtype=kind)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                shape = tuple(weight.shape)
                weight.copy_(draw(name, shape, seed=seed, std=config.initializer_range, dtype=kind))
        return model

    def write_initial(self, out: Path, params: KormoArchitecture, **options: Any) -> dict[str, object]:
        """Writes the initial checkpoint; see `checkpoint.write_initial`."""
        return write_initial(out, params, **options)

    def export_llama(self, checkpoint: Path, out: Path) -> dict[str, object]:
        """Converts a checkpoint to plain Llama, verified by logits; see `export.export_llama`."""
        return export_llama(checkpoint, out)

    def import_llama(self, checkpoint: Path, out: Path) -> dict[str, object]:
        """Converts a plain Llama checkpoint to this family, verified by logits; see `export.import_llama`."""
        return import_llama(checkpoint, out)

    def to_llama(
        self, config: PretrainedConfig, weights: Mapping[str, torch.Tensor]
    ) -> tuple[PretrainedConfig, dict[str, torch.Tensor]]:
        """The model as plain Llama: a `LlamaConfig`, and the same tensors under Llama's names."""
        return llama_config(config), renamed(weights, TO_LLAMA)

    def from_llama(
        self, config: PretrainedConfig, weights: Mapping[str, torch.Tensor]
    ) -> tuple[PretrainedConfig, dict[str, torch.Tensor]]:
        """The model as KORMo: the inverse of `to_llama`."""
        return kormo_config(config), renamed(weights, FROM_LLAMA)


KORMO = KORMoFamily()
