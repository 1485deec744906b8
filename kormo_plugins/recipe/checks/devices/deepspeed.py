"""Finds, reads and checks the recipe's DeepSpeed configuration before anything else happens.

`deepspeed:` names a JSON file relative to the recipe that sets it, like `extends` (or relative to the current folder,
as in Axolotl), or is the configuration itself. DeepSpeed refuses unknown keys only below `zero_optimization`, and only
when the model is loaded; at the top level it ignores them. What the recipe decides (batch sizes, clipping, optimizer,
schedule) must not be set here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError, closest, in_words, value_in_words
from kormo_plugins.recipe.files.paths import located
from kormo_plugins.recipe.files.resolve import Resolved

KEY = "deepspeed"
AUTO = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
)
"""Keys that the recipe decides: `auto`, or absent."""

OURS = {
    "optimizer": "kormo.decay would be lost, and the learning rate would be set twice",
    "scheduler": "lr_scheduler of the recipe would be ignored",
    "fp16": "kormo.precision supports float32 and bfloat16 only",
    "amp": "kormo.precision sets the dtypes",
    "torch_autocast": "kormo.precision sets the dtypes",
}
"""DeepSpeed blocks with a counterpart in the recipe -> why they are refused."""

TOP = frozenset(
    (
        *AUTO,
        "activation_checkpointing",
        "aio",
        "autotuning",
        "bf16",
        "checkpoint",
        "comms_logger",
        "communication_data_type",
        "compile",
        "compression_training",
        "csv_monitor",
        "data_efficiency",
        "data_types",
        "dataloader_drop_last",
        "disable_allgather",
        "dump_state",
        "elasticity",
        "flops_profiler",
        "gradient_predivide_factor",
        "graph_harvesting",
        "hybrid_engine",
        "memory_breakdown",
        "pipeline",
        "prescale_gradients",
        "seq_parallel_communication_data_type",
        "sparse_gradients",
        "steps_per_print",
        "tensor_parallel",
        "tensorboard",
        "timers",
        "use_data_before_expert_parallelism",
        "wall_clock_breakdown",
        "wandb",
        "zero_allow_untested_optimizer",
        "zero_force_ds_cpu_optimizer",
        "zero_optimization",
    )
)
"""Top-level keys of DeepSpeed 0.18, except those in `OURS`."""

ZERO = frozenset(
    (
        "allgather_bucket_size",
        "allgather_partitions",
        "contiguous_gradients",
        "elastic_checkpoint",
        "enable_sanity_checks",
        "ignore_unused_parameters",
        "leaf_module",
        "load_from_fp32_weights",
        "log_trace_cache_warnings",
        "memory_efficient_linear",
        "mics_hierarchical_params_gather",
        "mics_shard_size",
        "offload_optimizer",
        "offload_param",
        "overlap_comm",
        "override_module_apply",
        "pipeline_loading_checkpoint",
        "reduce_bucket_size",
        "reduce_scatter",
        "round_robin_gradients",
        "stage",
        "stage3_allgather_sequential",
        "stage3_gather_16bit_weights_on_model_save",
        "stage3_max_live_parameters",
        "stage3_max_reuse_distance",
        "stage3_model_persistence_threshold",
        "stage3_module_granularity_threshold",
        "stage3_param_persistence_threshold",
        "stage3_prefetch_bucket_size",
        "stage3_use_all_reduce_for_fetch_params",
        "sub_group_size",
        "use_multi_rank_bucket_allreduce",
        "zero_hpz_partition_size",
        "zero_quantized_gradients",
        "zero_quantized_nontrainable_weights",
        "zero_quantized_weights",
        "zeropp_loco_param",
        "zenflow",
        "save_muon_momentum_buffer_in_memory",
        "legacy_stage1",
    )
)
"""Keys of DeepSpeed 0.18 below `zero_optimization`, except deprecated ones."""

OFFLOAD = frozenset(
    (
        "device",
        "nvme_path",
        "buffer_count",
        "buffer_size",
        "max_in_cpu",
        "pin_memory",
        "pipeline_read",
        "pipeline_write",
        "fast_init",
        "ratio",
        "super_offload",
        "cpuadam_cores_perc",
    )
)


def deepspeed_config(recipe: Resolved) -> dict[str, object] | None:
    """The configuration that a recipe names, checked; None if it names none.

    Raises:
        KormoError: the file does not exist or is not JSON, or a key is unknown to DeepSpeed or decided by the recipe.
    """
    value = recipe.values.get(KEY)
    if not value:
        return None
    if isinstance(value, Mapping):
        where, config = recipe.where(KEY), dict(value)
    else:
        path = deepspeed_path(recipe)
        where, config = str(path), _read(path)
    _refuse_unknown(where, "", config, TOP | OURS.keys())
    _refuse_ours(where, config)
    zero = config.get("zero_optimization")
    if not isinstance(zero, Mapping) or zero.get("stage") not in (1, 2, 3):
        raise KormoError(
            where=f"{where}: zero_optimization.stage",
            found=repr(zero.get("stage") if isinstance(zero, Mapping) else zero),
            why="without a ZeRO stage DeepSpeed partitions nothing",
            do="set it to 1, 2 or 3, or remove deepspeed",
        )
    _refuse_unknown(where, "zero_optimization.", zero, ZERO)
    for name in ("offload_optimizer", "offload_param"):
        if isinstance(zero.get(name), Mapping):
            _refuse_unknown(where, f"zero_optimization.{name}.", zero[name], OFFLOAD)
    if zero["stage"] == 3 and zero.get("stage3_gather_16bit_weights_on_model_save") is not True:
        raise KormoError(
            where=f"{where}: zero_optimization.stage3_gather_16bit_weights_on_model_save",
            found="not true",
            why="every rank holds a part of each weight, and the finished model would be saved without its weights",
            do="set it to true",
        )
    return config


def deepspeed_path(recipe: Resolved) -> Path:
    """The file that `deepspeed:` names.

    Raises:
        KormoError: there is no such file.
    """
    path = located(recipe, KEY)
    if not path.is_file():
        raise KormoError(
            where=recipe.where(KEY),
            found=str(recipe.get(KEY)),
            why="there is no such file, neither beside the recipe that names it nor in the current folder",
            do="name one of recipes/deepspeed/, relative to this recipe",
        )
    return path


def zero_stage(config: Mapping[str, Any] | None) -> int | None:
    """The ZeRO stage of a checked configuration; None without one."""
    return int(config["zero_optimization"]["stage"]) if config else None


def _read(path: Path) -> dict[str, object]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise KormoError(
            where=str(path), found=in_words(error), why="it is not JSON", do="correct the file (JSON has no comments)"
        ) from None
    if not isinstance(config, dict):
        raise KormoError(
            where=str(path),
            found=value_in_words(config),
            why="a DeepSpeed configuration is a JSON object",
            do="write {…}",
        )
    return config


def _refuse_unknown(where: str, prefix: str, config: Mapping[str, object], known: Iterable[str]) -> None:
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise KormoError(
            where=f"{where}: {prefix}{unknown[0]}",
            found=f"the key {unknown[0]!r}",
            why="DeepSpeed does not know it",
            do=closest(unknown[0], known, "remove it; the keys are at https://www.deepspeed.ai/docs/config-json/"),
        )


def _refuse_ours(where: str, config: Mapping[str, Any]) -> None:
    for key in AUTO:
        if config.get(key, "auto") != "auto":
            raise KormoError(
                where=f"{where}: {key}",
                found=repr(config[key]),
                why="the recipe decides it (kormo.global_batch, micro_batch_size, max_grad_norm)",
                do='write "auto", or remove it',
            )
    for key, why in OURS.items():
        if key in config:
            raise KormoError(where=f"{where}: {key}", found=f"the block {key!r}", why=why, do="remove it")
    if config.get("bf16", {"enabled": "auto"}) != {"enabled": "auto"}:
        raise KormoError(
            where=f"{where}: bf16.enabled",
            found=repr(config["bf16"]),
            why="kormo.precision decides it",
            do='write {"enabled": "auto"}',
        )
    if isinstance(config.get("checkpoint"), Mapping) and config["checkpoint"].get("load_universal"):
        raise KormoError(
            where=f"{where}: checkpoint.load_universal",
            found="true",
            why="it is set automatically when the number of ranks has changed, and only then",
            do="remove it",
        )
