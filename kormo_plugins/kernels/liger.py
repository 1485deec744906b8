"""Liger's fused Triton kernels (arXiv 2410.10989), through Axolotl's own Liger plugin.

Axolotl's plugin asks Liger's table which function patches a model type. `kormo` is entered there with Llama's
function, which fits because KORMo looks its parts up in `modeling_llama` when it is built and inherits the forward of
`LlamaForCausalLM`. What each kernel spares:

    rms_norm, swiglu              activations that torch would write to memory between two elementwise operations
    rope                          the same, for the turning of queries and keys
    fused_linear_cross_entropy    the logits: 8.4 GB in float32 for 4 rows of 4,096 tokens of the 10B's vocabulary

*Casting in RMSNorm*: Liger's mode `llama`, with offset 0, is the order of our architecture (cast to the weights'
dtype, then times the weight; `architecture/modeling.py` says why). KORMo's published code multiplies in float32 and
casts last, which is Liger's mode `gemma` with offset 0.

*The loss* stays the sum over the predicted tokens of the global batch divided by their number: Liger's forward takes
`num_items_in_batch` as the plain one does.

*No GPU, no kernels*: Triton has nothing to run on, so they switch themselves off with one line. They count as
available in Triton's interpreter (`TRITON_INTERPRET=1`), which is how they are tested.

*Afterwards* they are undone, because the patch is of the whole process: export and samples follow the training, on
the CPU, and the export is compared with a Llama that must be plain.
"""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, Field

from kormo_plugins.errors import KormoError, closest

AXOLOTL_PLUGIN = "axolotl.integrations.liger.LigerPlugin"
PATCHED = ("apply_rotary_pos_emb", "LlamaRMSNorm", "LlamaMLP")
"""What Liger replaces in `modeling_llama`, besides `LlamaForCausalLM.forward`."""


class LigerParams(BaseModel):
    """Which kernels are used; all by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rms_norm: bool = Field(default=True, description="RMSNorm in one kernel")
    rope: bool = Field(default=True, description="rotary embedding of queries and keys in one kernel")
    swiglu: bool = Field(default=True, description="the gate of the MLP in one kernel")
    fused_linear_cross_entropy: bool = Field(
        default=True, description="output layer and loss in one, so that the logits are never held"
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
    """Whether Triton has something to run on: a GPU, or its interpreter."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return True
    import torch

    return torch.cuda.is_available()


class Liger:
    """The component `liger`: a callable with what the contract of kernels allows besides."""

    def __init__(self) -> None:
        self._originals: dict[str, object] = {}

    def axolotl(self, params: LigerParams) -> dict[str, object]:
        """Axolotl's keys and plugin; nothing where no kernel can run."""
        return {"plugins": [AXOLOTL_PLUGIN], **params.axolotl_keys()} if available() else {}

    def __call__(self, model_type: str, params: LigerParams) -> str:
        """Makes `model_type` known to Liger before Axolotl's plugin looks it up; returns the line to log.

        Raises:
            KormoError: Liger has no kernels for this type; Axolotl would train without them in silence.
        """
        if not available():
            return "kernels: liger is off, as there is no GPU; torch computes the same"
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN, apply_liger_kernel_to_llama

        if model_type == "kormo" or model_type.startswith("kormo_"):  # all are made of Llama's parts
            MODEL_TYPE_TO_APPLY_LIGER_FN.setdefault(model_type, apply_liger_kernel_to_llama)
        if model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
            raise KormoError(
                where="kormo.kernels",
                found=f"liger, for a model of type {model_type!r}",
                why="Liger has no kernels for that type",
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
        """Gives `modeling_llama` its own parts back; models that were built keep theirs. Idempotent."""
        if not self._originals:
            return
        from transformers.models.llama import modeling_llama

        setattr(modeling_llama.LlamaForCausalLM, "forward", self._originals.pop("forward"))  # noqa: B010
        for name, original in self._originals.items():
            setattr(modeling_llama, name, original)
        self._originals = {}


LIGER = Liger()
