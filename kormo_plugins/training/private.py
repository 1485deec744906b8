"""Every private or undocumented symbol of the libraries below us that this package touches, in one place.

Each entry of `TOUCHED` has a canary test, so that an upgrade that renames or reshapes one of them fails in a test
with its name, not in the middle of somebody's run.
"""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kormo_plugins.errors import disk_error
from kormo_plugins.training.settings import Precision

TOUCHED: dict[str, str] = {
    "transformers.trainer:Trainer._run_epoch": "starts the sampler at the resumed step",
    "transformers.trainer:Trainer._save_checkpoint": "writes the completeness marker",
    "transformers.trainer:Trainer._get_train_sampler": "gives the sampler",
    "transformers.trainer:Trainer._get_grad_norm": "the last moment before the optimizer's step",
    "transformers.trainer:Trainer._prepare_inputs": "a stopped step's rows go through the model once more",
    "transformers.trainer:Trainer._get_output_dir": "the folder a checkpoint is written to",
    "transformers.trainer:skip_first_batches": "replaced while a resumed epoch starts",
    "axolotl.core.trainers.base:AxolotlTrainer": "the base of KormoTrainer",
    "axolotl.core.trainers.mixins.optimizer:OptimizerMixin.create_optimizer_grouped_parameters": "decay groups",
    "axolotl.integrations.base:PluginManager": "parents' plugins are added while plugins register",
    "axolotl.integrations.base:load_plugin": "loads a parent's plugin, errors included",
    "axolotl.common.datasets:TrainDatasetMeta": "what load_datasets returns",
    "axolotl.utils.schemas.config:AxolotlInputConfig": "the keys that Axolotl knows",
    "axolotl.monkeypatch.attention.sdpa_varlen:patch_sdpa_varlen": "documents apart on a GPU without a dense mask",
    "axolotl.monkeypatch.ring_attn.patch:get_ring_attn_group": "which devices share a row",
    "axolotl.train:setup_reference_model": "no second model where the reference's log-probabilities are computed once",
    "axolotl.core.trainers.dpo.trainer:AxolotlDPOTrainer": "the base of PreferenceTrainer",
    "trl:DPOTrainer._prepare_dataset": "pairs come as token ids",
    "trl:DPOTrainer._precompute_ref_logps": "done in `train`, once for each pair, and kept in the run's folder",
    "trl:DPOTrainer.compute_ref_log_probs": "the reference's log-probabilities of a batch",
    "trl.models:prepare_deepspeed": "the reference pass under DeepSpeed",
    "accelerate.state:PartialState._prepare_backend": "gloo ranks on a machine without an accelerator",
}
"""`module:attribute` -> what for."""

DEEPSPEED_TOUCHED: dict[str, str] = {
    "deepspeed.comm.torch:TorchBackend.all_gather_into_tensor": "gloo under autograd (torch 2.13)",
    "deepspeed.runtime.zero.stage_1_and_2:DeepSpeedZeroOptimizer": "master weights for the precision check",
    "deepspeed.runtime.zero.stage3:DeepSpeedZeroOptimizer_Stage3": "master weights for the precision check",
}
"""The same for DeepSpeed, whose import takes seconds."""


@contextlib.contextmanager
def no_batch_skipping() -> Iterator[None]:
    """Inside, Trainer does not skip batches when it resumes: `skip_first_batches` returns the loader as it is."""
    import transformers.trainer as module

    original = module.skip_first_batches
    module.skip_first_batches = lambda loader, num_batches=0: loader
    try:
        yield
    finally:
        module.skip_first_batches = original


def use_varlen_attention(precision: Precision) -> bool:
    """Routes packed rows through torch's variable-length attention where it can run: half precision on CUDA.

    Axolotl decides by the dtype of the weights and so leaves float32 weights under bfloat16 autocast with a dense
    mask, although the kernel sees bfloat16.
    """
    import torch

    if precision.compute != "bfloat16" or not torch.cuda.is_available():
        return False
    from axolotl.monkeypatch.attention.sdpa_varlen import patch_sdpa_varlen

    return bool(patch_sdpa_varlen())


def is_quantized(model: Any) -> bool:
    """Whether the weights are held in a quantized form, whose dtype says nothing about precision."""
    return bool(getattr(model, "is_quantized", False) or getattr(model, "is_loaded_in_4bit", False))


def gathered(parameters: list[Any]) -> contextlib.AbstractContextManager[Any]:
    """Inside, parameters that ZeRO-3 has divided among the ranks are whole; to be entered by all ranks together."""
    if not any(hasattr(parameter, "ds_id") for parameter in parameters):
        return contextlib.nullcontext()
    import deepspeed

    whole: contextlib.AbstractContextManager[Any] = deepspeed.zero.GatheredParameters(parameters)
    return whole


FAILED_WRITES = (
    "no space left", "errno 28", "file write failed", "iostream error", "unexpected pos", "failed writing file",
)  # fmt: skip
"""What torch.save and safetensors say when the operating system refuses a write; they drop its reason."""


def disk_error_in(error: BaseException, where: Path) -> Exception | None:
    """The refused write inside an error that a library wrapped, or None if it is about something else."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return disk_error(seen, where)
        text = str(seen).lower()
        if any(words in text for words in FAILED_WRITES):
            return disk_error(OSError(errno.ENOSPC, str(seen)), where)
        seen = seen.__cause__ or seen.__context__
    return None


def shares_rows() -> tuple[int, int] | None:
    """This process's place among those that share each row, and their number; None where rows are not shared."""
    loaded = sys.modules.get("axolotl.monkeypatch.ring_attn.patch")
    group = getattr(loaded, "RING_ATTN_GROUP", None)
    if group is None:
        return None
    import torch.distributed as dist

    return dist.get_rank(group), dist.get_world_size(group)


def no_second_model() -> None:
    """Keeps Axolotl from loading the reference model of a run that computes its log-probabilities beforehand.

    `setup_reference_model` loads a whole second model for every full fine-tuning; TRL then never uses it.
    """
    import axolotl.train as module

    original = module.setup_reference_model
    if getattr(original, "kormo", False):
        return

    def only_if_used(cfg: Any, *args: Any, **kwargs: Any) -> Any:
        return None if cfg.precompute_ref_log_probs else original(cfg, *args, **kwargs)

    only_if_used.kormo = True  # type: ignore[attr-defined]
    module.setup_reference_model = only_if_used
