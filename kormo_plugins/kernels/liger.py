"""Liger's fused Triton kernels (arXiv 2410.10989), through Axolotl's own Liger plugin.

Axolotl's plugin looks up the patch function of a model type in Liger's table. We register `kormo` there with Llama's
function, which applies because KORMo looks up its parts in `modeling_llama` when a model is built and inherits the
forward of `LlamaForCausalLM`. What each kernel saves:

    rms_norm, swiglu              writing activations to memory between elementwise operations
    rope                          the same, for rotating queries and keys
    fused_linear_cross_entropy    the logits: 8.4 GB in float32 for 4 rows of 4,096 tokens with the 10B's vocabulary

*Casting in RMSNorm*: Liger's mode `llama`, with offset 0, is the order of our architecture (cast to the weights'
dtype, then times the weight; `architecture/modeling.py` says why). KORMo's published code multiplies in float32 and
casts last, which is Liger's mode `gemma` with offset 0.

*The loss* is still the sum over the predicted tokens of the global batch divided by their number: Liger's forward takes
`num_items_in_batch` like the original.

*Without a GPU* Triton cannot run, so the kernels are disabled with a log line. With Triton's interpreter
(`TRITON_INTERPRET=1`) they are available, which the tests use.

*After training* the patch is undone, because it is global to the process: export and samples run afterwards on the CPU,
and the export is compared with an unpatched Llama.
"""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, Field

from kormo_plugins.errors import KormoError, closest

AXOLOTL_PLUGIN = "axolotl.integrations.liger.LigerPlugin"
PATCHED = ("apply_rotary_pos_emb", "LlamaRMSNorm", "LlamaMLP")
"""What Liger replaces in `modeling_llama`, besides `LlamaForCausalLM.forward`."""


class LigerParams(BaseModel):
    """Switches of the kernels; all are on by default."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    rms_norm: bool = Field(default=True, description="fused RMSNorm")
    rope: bool = Field(default=True, description="fused rotary embedding of queries and keys")
    swiglu: bool = Field(default=True, description="fused gate of the MLP")
    fused_linear_cross_entropy: bool = Field(
        default=True, description="fused output layer and cross entropy, so that the logits are never stored"
    )

    def axolotl_keys(self) -> dict[str, bool]:
        """The keys of Axolotl's Liger plugin."""
        return {
            "liger_rms_norm": self.rms_norm,
            "liger_rope": self.rope,
            "liger_glu_activation": self.swiglu,
            "liger_fused_linear_cross_entropy": self.fused_linear_cross_entropy,
        }


def available() -> bool:
    """Whether Triton can run: on a GPU, or in its interpreter."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return True
    import torch

    return torch.cuda.is_available()


class Liger:
    """The component `liger`: a callable with the optional methods of the kernel contract."""

    def __init__(self) -> None:
        self._originals: dict[str, object] = {}

    def axolotl(self, params: LigerParams) -> dict[str, object]:
        """Axolotl's keys and plugin; empty if no kernel can run."""
        return {"plugins": [AXOLOTL_PLUGIN], **params.axolotl_keys()} if available() else {}

    def __call__(self, model_type: str, params: LigerParams) -> str:
        """Registers `model_type` with Liger before Axolotl's plugin looks it up; returns the line to log.

        Raises:
            KormoError: Liger has no kernels for this type; Axolotl would silently train without them.
        """
        if not available():
            return "kernels: liger is disabled because there is no GPU; torch computes the same"
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN, apply_liger_kernel_to_llama

        if model_type == "kormo" or model_type.startswith("kormo_"):  # all are built from Llama's parts
            MODEL_TYPE_TO_APPLY_LIGER_FN.setdefault(model_type, apply_liger_kernel_to_llama)
        if model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
            raise KormoError(
                where="kormo.kernels",
                found=f"liger, for a model of type {model_type!r}",
                why="Liger has no kernels for this model type",
                do=closest(model_type, MODEL_TYPE_TO_APPLY_LIGER_FN, "remove liger from kormo.kernels"),
            )
        self._remember()
        used = [name for name, on in params.model_dump().items() if on]
        return f"kernels: liger for {model_type}: {', '.join(used) or 'none'}"

    def _remember(self) -> None:
        from transformers.models.llama import modeling_llama

        if not self._originals:
            self._originals = {name: getattr(modeling_llama, name) for name in PATCHED}
            self._originals["forward"] = modeling_llama.LlamaForCausalLM.forward

    def release(self) -> None:
        """Restores `modeling_llama`; existing models keep their parts. Idempotent."""
        if not self._originals:
            return
        from transformers.models.llama import modeling_llama

        setattr(modeling_llama.LlamaForCausalLM, "forward", self._originals.pop("forward"))  # noqa: B010
        for name, original in self._originals.items():
            setattr(modeling_llama, name, original)
        self._originals = {}


LIGER = Liger()
