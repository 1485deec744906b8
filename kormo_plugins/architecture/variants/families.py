"""The components of this folder, which implement the contract of `hookspecs.py`.

A variant is KORMo's family with its own classes, model type, recipe parameters and plain form. The methods import torch
and transformers, so that listing components is fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from kormo_plugins.architecture import registration
from kormo_plugins.architecture.checkpoint import write_initial
from kormo_plugins.architecture.export import converted
from kormo_plugins.architecture.files import read_json
from kormo_plugins.architecture.shape import KormoArchitecture
from kormo_plugins.architecture.variants.forms import form_of, need_form
from kormo_plugins.architecture.variants.params import MoeArchitecture
from kormo_plugins.architecture.variants.upcycle import upcycle

CONFIGURATIONS = "kormo_plugins.architecture.variants.configurations"


class VariantFamily:
    """A model family that differs from KORMo in one respect.

    Args:
        model_type: its name.
        classes: prefix of the names of its config and model classes: `KORMoQkNorm`.
        module: module of the models in this folder.
    """

    def __init__(self, model_type: str, classes: str, module: str) -> None:
        self.model_type, self.classes = model_type, classes
        self.module = f"{CONFIGURATIONS.rpartition('.')[0]}.{module}"

    def register(self) -> None:
        """Registers the type with transformers and Axolotl. Idempotent."""
        models = import_module(self.module)
        registration.register_type(
            self.model_type,
            self._config_class(),
            getattr(models, f"{self.classes}Model"),
            getattr(models, f"{self.classes}ForCausalLM"),
        )

    def config(self, params: KormoArchitecture, **ids: Any) -> object:
        """The configuration of a new model; see `registration.config`."""
        return registration.config(params, kind=self._config_class(), architecture=f"{self.classes}ForCausalLM", **ids)

    def write_initial(self, out: Path, params: KormoArchitecture, **options: Any) -> dict[str, object]:
        """Writes the initial checkpoint; see `checkpoint.write_initial`."""
        self.register()
        return write_initial(out, params, make_config=self.config, **options)

    def plain_type(self, values: Mapping[str, object]) -> str | None:
        """Model type of the equivalent transformers class; None if there is none.

        Args:
            values: of config.json or of `kormo.architecture`.
        """
        form = form_of(self.model_type, values)
        return None if isinstance(form, str) else form.model_type

    def why_not_plain(self, values: Mapping[str, object]) -> str:
        """Why there is no such class; empty if there is one."""
        form = form_of(self.model_type, values)
        return form if isinstance(form, str) else ""

    def export_llama(self, checkpoint: Path, out: Path) -> dict[str, object]:
        """Converts a checkpoint to the plain layout of `forms.py`, verified by logits as in `export.export_llama`.

        Raises:
            KormoError: the variant has no Llama form; and what `export.export_llama` raises.
        """
        self.register()
        fields = read_json(checkpoint / "config.json")
        where, do = str(checkpoint / "config.json"), "open it with the package kormo-plugins, which registers the type"
        form = need_form(self.model_type, fields, where, do)
        own = {*self._config_class().own, "router_jitter_noise"}
        return converted(checkpoint, out, self.model_type, form, own)

    def _config_class(self) -> Any:
        return getattr(import_module(CONFIGURATIONS), f"{self.classes}Config")


class MoeFamily(VariantFamily):
    """`kormo_moe`, which can be upcycled from a dense KORMo."""

    def upcycle(self, checkpoint: Path, out: Path, params: MoeArchitecture, seed: int) -> dict[str, object]:
        """Upcycles the dense model in `checkpoint`; see `upcycle.upcycle`."""
        return upcycle(checkpoint, out, params, seed)


QK_NORM = VariantFamily("kormo_qk_norm", "KORMoQkNorm", "norms")
POST_NORM = VariantFamily("kormo_post_norm", "KORMoPostNorm", "norms")
MIX_LN = VariantFamily("kormo_mix_ln", "KORMoMixLn", "norms")
MTP = VariantFamily("kormo_mtp", "KORMoMtp", "future")
MOE = MoeFamily("kormo_moe", "KORMoMoe", "experts")
