"""All private or undocumented symbols of other libraries that this package uses, in one place.

Each entry of `TOUCHED` has a canary test, so that an upgrade that renames or changes one of them fails in a test that
names it, not in the middle of a run.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator

from kormo_plugins.errors import KormoError
from kormo_plugins.kernels import flash_choice, varlen_attention
from kormo_plugins.training.settings import Precision

TOUCHED: dict[str, str] = {
    "transformers.trainer:Trainer._run_epoch": "starts the sampler at the resumed step",
    "transformers.trainer:Trainer._load_optimizer_and_scheduler": "settings stay the recipe's on resume",
    "torch.utils.data:DataLoader._get_iterator": "workers are started while SIGTERM is blocked",
    "transformers.trainer:Trainer._save_checkpoint": "writes the completeness marker",
    "transformers.trainer:Trainer._get_train_sampler": "gives the sampler",
    "transformers.trainer:Trainer._clip_grad_norm": "clips the master weights' gradients, or in the optimizer's step",
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
    "axolotl.utils.environment:check_cuda_p2p_support": "CPU ranks with a torch for CUDA and no driver",
    "axolotl.cli.merge_lora:do_merge_lora": "a merged model is the adapters' run's, not its base's",
    "axolotl.train:setup_reference_model": "no second model where the reference's log-probabilities are computed once",
    "axolotl.core.trainers.dpo.trainer:AxolotlDPOTrainer": "the base of PreferenceTrainer",
    "trl:DPOTrainer._prepare_dataset": "pairs come as token ids",
    "trl:DPOTrainer._precompute_ref_logps": "done in `train`, once for each pair, and kept in the run's folder",
    "trl:DPOTrainer._compute_loss": "is given packed pairs",
    "trl:DPOTrainer.compute_ref_log_probs": "the reference's log-probabilities of a batch",
    "trl.models:prepare_deepspeed": "the reference pass under DeepSpeed",
    "transformers.trainer:deepspeed_load_checkpoint": "universal checkpoints where the number of ranks changed",
    "transformers.training_args:is_torch_bf16_gpu_available": "bfloat16 under DeepSpeed without an accelerator",
    "transformers.integrations.deepspeed:unset_hf_deepspeed_config": "the finished model is opened whole, not sharded",
    "transformers.modeling_utils:is_deepspeed_zero3_enabled": "likewise; Axolotl replaces it",
    "transformers.cache_utils:DynamicLayer.update": "evaluation keeps room for an answer's keys and values",
    "transformers.cache_utils:DynamicLayer.batch_select_indices": "rows that have ended leave with their keys",
    "transformers.cache_utils:DynamicLayer.lazy_initialization": "likewise",
    "transformers.integrations.sdpa_attention:sdpa_attention_forward": "attention of prompts; a step's needs no copies",
    "transformers.modeling_utils:AttentionInterface.__setitem__": "the attention of a step is put in, while decoding",
    "trackio:init": "transformers passes an argument that the trackio which Axolotl pins does not know",
    "torch.utils.file_baton:FileBaton.wait": "waits for a lock of a killed compilation without a word",
    "torch:_fused_adamw_": "divides gradients by `grad_scale` of the optimizer: clipping without a pass",
    "pydantic.plugin._loader:get_plugins": "`kormo` looks for pydantic's plugins without importlib.metadata",
    "numba.core.entrypoints:init_all": "our functions load no extensions of other packages",
    "numba.core.dispatcher:Dispatcher.get_call_template": "one compilation where a variable begins with a literal",
    "numba.core.dispatcher:Dispatcher.compile": "one process compiles a function, without searches for garbage",
    "numba.core.dispatcher:Dispatcher._compilation_chain_init_hook": "our functions load no extensions",
    "numba.core.caching:FunctionCache.load_overload": "a damaged file in the cache is compiled again",
    "numba.core.caching:FunctionCache.save_overload": "a cache that cannot be written is told once",
    "numba.core.caching:FunctionCache.flush": "a damaged index is replaced",
    "numba.core.caching:UserProvidedCacheLocator.get_suitable_cache_subpath": "whether anything is compiled yet",
    "accelerate.state:PartialState._prepare_backend": "gloo ranks on a machine without an accelerator",
}
"""`module:attribute` -> what for."""

DEEPSPEED_TOUCHED: dict[str, str] = {
    "deepspeed.comm.torch:TorchBackend.all_gather_into_tensor": "gloo under autograd (torch 2.13)",
    "deepspeed.runtime.zero.stage_1_and_2:DeepSpeedZeroOptimizer": "master weights for the precision check",
    "deepspeed.runtime.zero.stage3:DeepSpeedZeroOptimizer_Stage3": "master weights for the precision check",
    "deepspeed.runtime.bf16_optimizer:BF16_Optimizer": "master weights for the precision check (ZeRO-1 in bfloat16)",
    "deepspeed.runtime.zero.stage_1_and_2:DeepSpeedZeroOptimizer._load_global_state": "`max_grad_norm` on resume",
    "deepspeed.checkpoint.ds_to_universal:main": "converts a checkpoint for another number of ranks",
    "deepspeed.utils.zero_to_fp32:get_fp32_state_dict_from_zero_checkpoint": "puts a partitioned checkpoint together",
}
"""The same for DeepSpeed, whose import takes seconds."""


@contextlib.contextmanager
def no_batch_skipping() -> Iterator[None]:
    """Keeps Trainer from skipping batches on resume inside the block: `skip_first_batches` returns the loader
    unchanged."""
    import transformers.trainer as module

    original = module.skip_first_batches
    module.skip_first_batches = lambda loader, num_batches=0: loader
    try:
        yield
    finally:
        module.skip_first_batches = original


@contextlib.contextmanager
def checkpoints_loaded_by(load: Callable[..., None]) -> Iterator[None]:
    """Makes Trainer read DeepSpeed checkpoints with `load(original, engine, path, …)` inside the block."""
    import transformers.trainer as module

    original = module.deepspeed_load_checkpoint
    module.deepspeed_load_checkpoint = functools.partial(load, original)
    try:
        yield
    finally:
        module.deepspeed_load_checkpoint = original


def forget_deepspeed() -> None:
    """Makes later `from_pretrained` calls load whole models. Under ZeRO-3 they would partition the model over ranks
    that have exited, and wait for them, since Axolotl makes `is_deepspeed_zero3_enabled` return True for good."""
    import transformers.integrations.deepspeed as integration
    import transformers.modeling_utils as modeling

    integration.unset_hf_deepspeed_config()
    modules: tuple[object, ...] = (integration, modeling)
    for module in modules:
        module.is_deepspeed_zero3_enabled = lambda: False


def use_varlen_attention(precision: Precision) -> list[str]:
    """Routes packed rows through torch's variable-length attention if it can run: half precision on CUDA.

    Axolotl decides by the dtype of the weights, so float32 weights under bfloat16 autocast get a dense mask, although
    the kernel would get bfloat16. Batches with boundaries from the collator bypass Axolotl's search.

    Returns:
        Lines to log; empty if it cannot run.
    """
    import torch

    if precision.autocast == "float32" or not torch.cuda.is_available():
        return []
    from axolotl.monkeypatch.attention.sdpa_varlen import patch_sdpa_varlen

    if not patch_sdpa_varlen():
        return []

    return [flash_choice.activate(), varlen_attention.install()]


def refuse_other_engine(trainer: object, stage: int | None) -> None:
    """Compares Trainer's engine with the recipe's.

    accelerate enables DeepSpeed by environment variables; if one of them is missing, it silently trains with plain
    DDP.

    Args:
        stage: the recipe's ZeRO stage; None: no DeepSpeed.
    Raises:
        KormoError: they differ.
    """
    plugin = trainer.accelerator.state.deepspeed_plugin if trainer.is_deepspeed_enabled else None
    running = int(plugin.hf_ds_config.get_value("zero_optimization.stage", 0)) if plugin else None
    if running != stage:
        raise KormoError(
            where="deepspeed",
            found=f"{_engine(running)} in the running trainer; the recipe says {_engine(stage)}",
            why="the run would be partitioned over the ranks differently from the recipe",
            do="start it with `axolotl train`, which sets up DeepSpeed, and unset all ACCELERATE_ variables",
        )


def _engine(stage: int | None) -> str:
    return "no DeepSpeed" if stage is None else f"ZeRO-{stage}"


def is_quantized(model: object) -> bool:
    """Whether the weights are quantized, in which case their dtype is not the precision."""
    return bool(getattr(model, "is_quantized", False) or getattr(model, "is_loaded_in_4bit", False))


def gathered(parameters: list[object]) -> contextlib.AbstractContextManager[object]:
    """Context in which parameters partitioned by ZeRO-3 are gathered; collective."""
    if not any(hasattr(parameter, "ds_id") for parameter in parameters):
        return contextlib.nullcontext()
    import deepspeed

    whole: contextlib.AbstractContextManager[object] = deepspeed.zero.GatheredParameters(parameters)
    return whole


def shares_rows() -> tuple[int, int] | None:
    """Rank and size of the group that shares each row; None if rows are not shared."""
    loaded = sys.modules.get("axolotl.monkeypatch.ring_attn.patch")
    group = getattr(loaded, "RING_ATTN_GROUP", None)
    if group is None:
        return None
    import torch.distributed as dist

    return dist.get_rank(group), dist.get_world_size(group)


def no_second_model() -> None:
    """Prevents Axolotl from loading the reference model of a run with precomputed log-probabilities.

    `setup_reference_model` loads a whole second model for every full fine-tuning; TRL then never uses it.
    """
    import axolotl.train as module

    original = module.setup_reference_model
    if getattr(original, "kormo", False):
        return

    def only_if_used(cfg: object, *args: object, **kwargs: object) -> object:
        """Axolotl's function; returns None without loading a model if the log-probabilities are precomputed."""
        return None if cfg.precompute_ref_log_probs else original(cfg, *args, **kwargs)

    only_if_used.kormo = True  # type: ignore[attr-defined]
    module.setup_reference_model = only_if_used


def trackio_as_installed() -> None:
    """Makes transformers' tracker compatible with the installed trackio.

    Axolotl up to 0.20 pins trackio 0.19, and the transformers that it pins passes `bucket_id`, which only a later one
    has: a TypeError at the first step of every run that asks for trackio. Unset arguments that trackio does not know
    are dropped. Axolotl 0.21 pins a later trackio, which knows all of them.
    """
    trackio: object = importlib.import_module("trackio")
    original = trackio.init
    if getattr(original, "kormo", False):
        return
    known = set(inspect.signature(original).parameters)

    def init(**given: object) -> object:
        """trackio's `init`, without the unset arguments that it does not know.

        Raises:
            KormoError: an argument that it does not know is set.
        """
        unknown = sorted(key for key, value in given.items() if key not in known and value is not None)
        if unknown:
            raise KormoError(
                where="use_trackio",
                found=f"trackio {trackio.__version__}, which does not support {', '.join(unknown)}",
                why="the run could not be tracked as configured",
                do="install a newer trackio, or remove use_trackio",
            )
        return original(**{key: value for key, value in given.items() if key in known})

    init.kormo = True  # type: ignore[attr-defined]
    trackio.init = init
