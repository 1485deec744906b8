"""The table of fates: every key of Axolotl 0.19 to 0.21, and what becomes of it under `kormo.data` (see `fates.py`).

A test compares the table with the schema of the installed Axolotl: every key of it must be listed. Listed keys that the
installed Axolotl lacks are allowed, so that one table serves several versions.
"""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.recipe.checks.axolotl_keys.fates import Fate, Kind

NOT_READ = "rows are built, packed and mixed before Axolotl sees them, so its own {} never runs"
NO_EVALUATION = "Axolotl's evaluation loop does not run: there is no evaluation dataset beside kormo.data"
OTHER_TOKENIZER = "the rows hold ids of the tokenizer that kormo.tokenizer names; the saved one would be another"
OTHER_MODEL = "the shapes and the config come from kormo.architecture; the saved config would say something else"
OTHER_FAMILY = "it belongs to another kind of model or of training"
OF_COMMANDS = "it is read by one of Axolotl's other commands, not by training"


def _fates(
    kind: Kind, why: str, keys: str, *, instead: str = "", needs: str = "", inert: tuple[object, ...] = ()
) -> Iterator[tuple[str, Fate]]:
    fate = Fate(kind, why, instead, tuple(needs.split()), inert)
    return ((key, fate) for key in keys.split())


def _works(keys: str, needs: str = "", why: str = "") -> Iterator[tuple[str, Fate]]:
    return _fates(Kind.WORKS, why, keys, needs=needs)


def _elsewhere(instead: str, why: str, keys: str, inert: tuple[object, ...] = ()) -> Iterator[tuple[str, Fate]]:
    return _fates(Kind.ELSEWHERE, why, keys, instead=instead, inert=inert)


def _harmful(why: str, keys: str, inert: tuple[object, ...] = ()) -> Iterator[tuple[str, Fate]]:
    return _fates(Kind.HARMFUL, why, keys, inert=inert)


def _irrelevant(why: str, keys: str, inert: tuple[object, ...] = ()) -> Iterator[tuple[str, Fate]]:
    return _fates(Kind.IRRELEVANT, why, keys, inert=inert)


def _model() -> Iterator[tuple[str, Fate]]:
    yield from _works("base_model")
    yield from _works(
        "model_type type_of_model model_revision revision_of_model reinit_weights gptq model_quantization_config "
        "model_quantization_config_kwargs use_onebitllms",
        needs="base_model",
    )
    yield from _works("load_in_8bit load_in_4bit", needs="adapter")
    yield from _works("bnb_config_kwargs", needs="load_in_4bit load_in_8bit")
    yield from _works(
        "low_cpu_mem_usage max_memory gpu_memory_limit device_map use_kernels experimental_skip_move_to_device"
    )
    yield from _elsewhere(
        "kormo.architecture",
        OTHER_MODEL,
        "overrides_of_model_config model_config overrides_of_model_kwargs model_kwargs "
        "base_model_config cls_model_config rope_scaling",
    )
    yield from _harmful(
        "it runs code from a model's folder; KORMo's classes are registered without it", "trust_remote_code"
    )
    yield from _harmful(
        "training would use another attention than the saved config describes",
        "scaling_softmax scaling_softmax_factor scaling_softmax_bias",
    )
    yield from _irrelevant(
        OTHER_FAMILY,
        "is_falcon_derived_model is_llama_derived_model is_mistral_derived_model "
        "is_qwen_derived_model gemma4_hybrid_attn_impl llama4_linearized_experts "
        "experts_implementation ple_cpu_offload quantize_moe_experts processor_type "
        "processor_kwargs image_size image_resize_algorithm role_boundaries freeze_mm_modules "
        "expert_parallel_size expert_parallel_backend expert_parallel_fallback_on_unsupported "
        "expert_parallel_num_nvl_bytes expert_parallel_num_rdma_bytes expert_parallel_token_capacity "
        "expert_parallel_dispatch_chunks expert_parallel_save_dispatch",
        inert=(1,),
    )
    yield from _harmful("the loss is that of the next token, not of a diffusion", "diffusion_lm")


def _tokenizer() -> Iterator[tuple[str, Fate]]:
    yield from _elsewhere(
        "kormo.tokenizer",
        OTHER_TOKENIZER,
        "tokenizer_config tokenizer_type special_tokens tokens added_tokens_overrides "
        "resize_token_embeddings_to_32x shrink_embeddings mean_resizing_embeddings",
    )
    yield from _harmful(
        OTHER_TOKENIZER,
        "tokenizer_use_fast tokenizer_legacy tokenizer_use_mistral_common fix_untrained_tokens",
        inert=(True,),
    )
    yield from _harmful(
        "the chat template would not be a file of the saved tokenizer", "tokenizer_save_jinja_files", inert=(True,)
    )
    yield from _elsewhere(
        "kormo.tokenizer",
        "conversations are written with the tokenizer's own chat template; another one would be saved than was trained",
        "chat_template chat_template_jinja chat_template_kwargs eot_tokens default_system_message",
        inert=("tokenizer_default",),
    )


def _data() -> Iterator[tuple[str, Fate]]:
    yield from _works("sequence_len dataloader_num_workers dataloader_pin_memory dataloader_prefetch_factor")
    yield from _elsewhere(
        "kormo.data.sources", "one of the two would be ignored", "datasets test_datasets pretraining_dataset"
    )
    yield from _elsewhere(
        "kormo.data.sources",
        "rows are read by index from disk, so nothing streams",
        "streaming streaming_multipack_buffer_size",
    )
    yield from _elsewhere(
        "kormo.data.packing",
        "kormo.data packs documents into rows itself, and Axolotl would pack and shuffle those again",
        "sample_packing sample_packing_group_size sample_packing_bin_size "
        "sample_packing_sequentially sample_packing_mp_start_method sample_packing_eff_est "
        "multipack_real_batches batch_flattening pretrain_multipack_buffer_size "
        "pretrain_multipack_attn pretraining_sample_concatenation max_packed_sequence_len",
    )
    yield from _elsewhere(
        "kormo.data.packing.longer (texts) and kormo.data.too_long (conversations)",
        NOT_READ.format("cutting"),
        "excess_length_strategy",
    )
    yield from _elsewhere(
        "kormo.data.steps", NOT_READ.format("filter"), "min_sample_len dataset_exact_deduplication max_prompt_len"
    )
    yield from _elsewhere(
        "kormo.data.mixture",
        "the order of rows is that of the mixture, on any number of ranks",
        "curriculum_sampling group_by_length shuffle_merged_datasets "
        "shuffle_before_merging_datasets dataset_shard_num dataset_shard_idx balance_labels "
        "label_balance_window_optim_steps",
        inert=(1,),
    )
    yield from _elsewhere(
        "kormo.collator, or kormo.role with conversations",
        "in conversations only the answers are predicted, in texts every token; Axolotl's masks never run",
        "train_on_inputs",
    )
    yield from _elsewhere(
        "kormo.workspace",
        "built data are artifacts, which are found by the hash of their inputs",
        "dataset_prepared_path skip_prepare_dataset",
    )
    yield from _elsewhere("kormo.data.workers", NOT_READ.format("preparation"), "dataset_processes dataset_num_proc")
    yield from _harmful("nothing of it would be uploaded: Axolotl prepares no dataset", "push_dataset_to_hub")
    yield from _harmful(
        "chunks of a row would get other positions than its documents have",
        "use_pose pose_split_on_token_ids pose_max_context_len pose_num_chunks",
    )
    yield from _harmful("rows have one length, and documents in them are separated by position", "pad_to_multiple_of")
    yield from _harmful("a rank would read other rows than the mixture gives it", "accelerator_config")
    yield from _irrelevant(
        NOT_READ.format("preparation"),
        "dataset_keep_in_memory num_dataset_shards_to_save hf_use_auth_token preprocess_iterable "
        "remove_unused_columns dataloader_drop_last",
        inert=(),
    )
    yield from _irrelevant("rows are full already", "pad_to_sequence_len")


def _batch_and_length() -> Iterator[tuple[str, Fate]]:
    yield from _works("micro_batch_size max_steps seed full_determinism")
    yield from _elsewhere(
        "kormo.global_batch",
        "accumulation is derived: global_batch / (micro_batch_size × number of ranks)",
        "gradient_accumulation_steps batch_size",
    )
    yield from _harmful("the global batch would change with the memory of the machine", "auto_find_batch_size")
    yield from _elsewhere(
        "kormo.tokens", "a mixture has no epochs: each source is repeated as its share needs", "num_epochs"
    )


def _evaluation() -> Iterator[tuple[str, Fate]]:
    yield from _elsewhere(
        "kormo.monitor.held_out",
        NO_EVALUATION,
        "val_set_size eval_steps evals_per_epoch eval_batch_size eval_sequence_len "
        "eval_sample_packing do_causal_lm_eval eval_causal_lm_metrics eval_on_start",
        inert=(0,),
    )
    yield from _elsewhere("kormo.monitor.held_out", NO_EVALUATION, "eval_strategy evaluation_strategy", inert=("no",))
    yield from _elsewhere("kormo.evaluate", NO_EVALUATION, "do_bench_eval bench_dataset bench_split")
    yield from _elsewhere(
        "kormo.evaluate, or `kormo eval` after training, which take the same task names",
        "Axolotl would have the harness open the run's own layout, which the harness does not support",
        "lm_eval_tasks",
        inert=([],),
    )
    yield from _elsewhere(
        "kormo.monitor.collapse",
        NO_EVALUATION,
        "eval_table_size eval_max_new_tokens generate_samples num_generation_samples "
        "generation_max_new_tokens generation_temperature generation_top_p generation_top_k "
        "generation_prompt_ratio generation_do_sample",
        inert=(),
    )
    yield from _elsewhere(
        "kormo.monitor, which measures, and kormo.milestones, which keeps checkpoints",
        "there is no evaluation loss to choose a checkpoint by",
        "load_best_model_at_end metric_for_best_model greater_is_better early_stopping_patience",
    )


def _optimizer() -> Iterator[tuple[str, Fate]]:
    yield from _works(
        "learning_rate embedding_lr embedding_lr_scale lr_groups weight_decay optimizer optim_args "
        "optim_target_modules torchdistx_path lr_scheduler lr_scheduler_kwargs lr_quadratic_warmup cosine_min_lr_ratio "
        "cosine_constant_lr_ratio adam_epsilon adam_epsilon2 adam_beta1 adam_beta2 adam_beta3 dion_lr "
        "dion_momentum dion_rank_fraction dion_rank_multiple_of qgalore_rank qgalore_update_proj_gap qgalore_scale "
        "qgalore_proj_type qgalore_proj_quant qgalore_proj_bits qgalore_proj_group_size qgalore_cos_threshold "
        "qgalore_gamma_proj qgalore_queue_size max_grad_norm warmup_steps warmup_ratio neftune_noise_alpha "
        "jagged_restart_steps unfrozen_parameters"
    )
    yield from _harmful("Axolotl never reads it (0.19, 0.21)", "lr_div_factor")
    yield from _works("jagged_restart_warmup_steps jagged_restart_anneal_steps", needs="jagged_restart_steps")
    yield from _elsewhere("neftune_noise_alpha", "it is the former name of that key", "noisy_embedding_alpha")
    yield from _works("lisa_n_layers", needs="lisa_step_interval")
    yield from _works("lisa_step_interval", needs="lisa_n_layers")
    yield from _works("lisa_layers_attribute", needs="lisa_step_interval")


def _adapter() -> Iterator[tuple[str, Fate]]:
    yield from _works("adapter")
    yield from _works(
        "lora_model_dir lora_r lora_alpha lora_fan_in_fan_out lora_target_modules lora_target_parameters "
        "lora_target_linear lora_modules_to_save lora_rank_pattern lora_alpha_pattern lora_dropout "
        "peft_layers_to_transform peft_layers_pattern peft peft_use_dora peft_use_rslora peft_layer_replication "
        "peft_init_lora_weights peft_trainable_token_indices peft_ensure_weight_tying peft_autocast_adapter_dtype "
        "qlora_sharded_model_loading lora_on_cpu loraplus_lr_ratio loraplus_lr_embedding merge_method relora "
        "relora_prune_ratio relora_prune_method relora_cpu_offload lora_mlp_kernel lora_qkv_kernel lora_o_kernel "
        "lora_embedding_kernel embeddings_skip_upcast lora_fp32_gradients nf4_backend nvfp4_merge_aware",
        needs="adapter",
    )
    yield from _harmful(
        "its experts need Axolotl's own trainer, and this run uses that of kormo-plugins",
        "mixlora_num_experts mixlora_top_k mixlora_router_aux_loss_coef mixlora_router_init_range "
        "mixlora_jitter_noise mixlora_expert_lora_r mixlora_expert_lora_alpha mixlora_expert_lora_dropout",
    )


def _precision_and_memory() -> Iterator[tuple[str, Fate]]:
    yield from _works("bf16 bfloat16 fp16 float16 float32", why="must agree with kormo.precision.compute")
    yield from _works(
        "gradient_checkpointing gradient_checkpointing_kwargs selective_checkpointing "
        "activation_offloading layer_offloading torch_compile torch_compile_backend "
        "torch_compile_mode torch_compile_options torch_empty_cache_steps gc_collect_steps gc_steps"
    )
    yield from _works("torch_compile_regional", needs="torch_compile")
    yield from _elsewhere("kormo.precision", "products of float32 are computed in float32", "tf32")
    yield from _elsewhere(
        "kormo.precision",
        "products in float8 are kormo.precision.compute: float8",
        "fp8 fp8_config fp8_enable_fsdp_float8_all_gather",
    )
    yield from _works("qat", why="matrices are rounded in the forward pass; what is saved keeps its dtype")
    yield from _irrelevant(OF_COMMANDS, "quantization export")


def _attention_and_kernels() -> Iterator[tuple[str, Fate]]:
    yield from _works(
        "attn_implementation sdpa_varlen xformers_attention sdp_attention flex_attention "
        "flex_attn_compile_kwargs flash_attention sage_attention eager_attention large_head_attention "
        "flash_attn_d512"
    )
    yield from _harmful("documents in a row would attend to each other", "s2_attention flash_optimum")
    yield from _elsewhere(
        "kormo.kernels",
        "it replaces parts of published model families; it does not support kormo and does not keep the per-token "
        "loss that is logged",
        "flash_attn_cross_entropy flash_attn_rms_norm flash_attn_fuse_mlp fused_attn_kernel "
        "chunked_cross_entropy chunked_cross_entropy_num_chunks tiled_mlp tiled_mlp_num_shards "
        "tiled_mlp_use_original_mlp",
    )
    yield from _elsewhere("kormo.objective", "the loss is that of the objective", "use_eaft eaft_alpha eaft_k use_dft")
    yield from _irrelevant(
        "the collator of kormo.data has cu_seqlens of its own", "fa_varlen_kwargs_in_collator", (True,)
    )


def _machines() -> Iterator[tuple[str, Fate]]:
    yield from _works(
        "deepspeed deepcompile fsdp fsdp_config fsdp_version fp32_norms fp32_norm_classes "
        "fsdp_final_state_dict_type dp_shard_size dp_replicate_size tensor_parallel_size "
        "sequence_parallel_degree context_parallel_size context_parallel heads_k_stride ring_attn_func ddp ddp_timeout "
        "ddp_bucket_cap_mb ddp_broadcast_buffers ddp_find_unused_parameters use_ray ray_run_name "
        "ray_num_workers resources_per_worker"
    )
    yield from _irrelevant("the launcher sets it", "device world_size local_rank")


def _logging() -> Iterator[tuple[str, Fate]]:
    yield from _works(
        "use_wandb wandb_project use_trackio trackio_project_name use_comet use_mlflow use_tensorboard "
        "use_otel_metrics logging_steps profiler_steps sync_profiler_steps include_tkps include_tokens_per_second"
    )
    yield from _works(
        "wandb_name wandb_run_id wandb_mode wandb_entity wandb_watch wandb_log_model", needs="use_wandb wandb_project"
    )
    yield from _works("trackio_run_name trackio_space_id", needs="use_trackio trackio_project_name")
    yield from _works(
        "comet_api_key comet_workspace comet_project_name comet_experiment_key comet_mode comet_online "
        "comet_experiment_config",
        needs="use_comet",
    )
    yield from _works(
        "mlflow_tracking_uri mlflow_experiment_name mlflow_run_name hf_mlflow_log_artifacts", needs="use_mlflow"
    )
    yield from _works("otel_metrics_host otel_metrics_port", needs="use_otel_metrics")
    yield from _works("profiler_steps_start", needs="profiler_steps")
    yield from _works("sync_profiler_start_step", needs="sync_profiler_steps")
    yield from _elsewhere(
        "kormo.stop_on", "NaN values are always logged as NaN", "logging_nan_inf_filter", inert=(True,)
    )
    yield from _elsewhere(
        "kormo.stop_on",
        "a diverging loss ends the run before a checkpoint is written",
        "loss_watchdog_threshold loss_watchdog_patience",
    )


def _saving() -> Iterator[tuple[str, Fate]]:
    yield from _works(
        "output_dir save_steps save_strategy save_total_limit save_first_step resume_from_checkpoint "
        "auto_resume_from_checkpoints dynamic_checkpoint hub_model_id"
    )
    yield from _works("hub_strategy hub_revision", needs="hub_model_id")
    yield from _elsewhere("save_steps", "a mixture has no epochs", "saves_per_epoch")
    yield from _harmful("a checkpoint without the optimizer's state cannot be resumed from", "save_only_model")
    yield from _harmful(
        "weights are kept as safetensors: reading a pickle runs code", "save_safetensors", inert=(True,)
    )


def _preferences_and_rewards() -> Iterator[tuple[str, Fate]]:
    yield from _works("rl")
    yield from _works(
        "rl_beta dpo_beta dpo_use_weighting dpo_label_smoothing precompute_ref_log_probs "
        "dpo_use_liger_kernel dpo_padding_free dpo_loss_type dpo_loss_weights dpo_ld_alpha",
        needs="rl",
    )
    yield from _elsewhere("rl_beta and dpo_loss_type", "TRL's own block would win over the keys of the recipe", "trl")
    yield from _harmful(
        "it belongs to a preference method that kormo.data does not support (it supports dpo and ipo)",
        "orpo_alpha rpo_alpha simpo_gamma cpo_alpha kto_desirable_weight kto_undesirable_weight "
        "dpo_use_logits_to_keep dpo_generate_during_eval dpo_norm_loss vllm ebft",
    )
    yield from _harmful(
        "rows of kormo.data carry no scores", "reward_model process_reward_model num_labels center_rewards_coefficient"
    )
    yield from _harmful("checkpoints, order and weight decay need the trainer of kormo-plugins", "trainer_cls")


def _rest() -> Iterator[tuple[str, Fate]]:
    yield from _works("plugins strict")
    yield from _irrelevant(
        OF_COMMANDS,
        "gradio_title gradio_share gradio_server_name gradio_server_port "
        "gradio_max_new_tokens gradio_temperature merge_lora",
    )
    yield from _irrelevant(
        "Axolotl sets it itself", "is_preprocess total_num_tokens total_supervised_tokens axolotl_config_path"
    )


def _table() -> dict[str, Fate]:
    parts = (
        _model,
        _tokenizer,
        _data,
        _batch_and_length,
        _evaluation,
        _optimizer,
        _adapter,
        _precision_and_memory,
        _attention_and_kernels,
        _machines,
        _logging,
        _saving,
        _preferences_and_rewards,
        _rest,
    )
    rows = [row for part in parts for row in part()]
    table = dict(rows)
    assert len(table) == len(rows), "a key has two fates"
    return table


TABLE = _table()
"""Axolotl key -> its fate under `kormo.data`."""
