"""Determines the memory setup of a run from the keys of its recipe."""

from __future__ import annotations

import json
from typing import Any

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.recipe.checked import CheckedRecipe
from kormo_plugins.recipe.cost.machine import Machine
from kormo_plugins.recipe.cost.memory import Setup, Zero
from kormo_plugins.recipe.cost.model_size import Model
from kormo_plugins.recipe.files.paths import located

BYTES = {"float32": 4, "bfloat16": 2}
MOMENTS: dict[str, float] = {
    "adamw_torch": 2,
    "adamw_torch_fused": 2,
    "adamw_hf": 2,
    "adamw_anyprecision": 2,
    "optimi_adamw": 2,
    "ao_adamw_fp8": 2,
    "stable_adamw": 2,
    "adopt_adamw": 2,
    "ademamix": 3,
    "sgd": 0,
    "adafactor": 0.01,
    "muon": 1,
    "lion_32bit": 1,
    "rmsprop": 1,
    "adagrad": 1,
}
"""Number of moments that an optimizer keeps per parameter."""
SMALL_MOMENTS: dict[str, float] = {
    "adamw_bnb_8bit": 2.03,
    "adamw_8bit": 2.03,
    "adamw_torch_8bit": 2.03,
    "ao_adamw_8bit": 2.03,
    "lion_8bit": 1.02,
    "adamw_torch_4bit": 1.03,
    "ao_adamw_4bit": 1.03,
    "paged_adamw_8bit": 0,
    "paged_adamw_32bit": 0,
    "paged_lion_8bit": 0,
}
"""Bytes per parameter of optimizers with a fixed dtype: quantized with a scale per block, or paged to the host."""
FOREACH = frozenset({"adamw_torch", "sgd", "adagrad", "rmsprop"})
"""Optimizers of torch that update all parameters at once, through a copy of one moment."""
ADAPTER_RANK = 8  # Axolotl's
ANSWERS = 2
"""Texts per preference pair."""
FOUR_BITS = 0.5 + 4 / 64  # NF4 with a float32 scale for each block of 64


def setup_of(recipe: CheckedRecipe, model: Model, machine: Machine) -> tuple[Setup, list[str]]:
    """The memory setup of a recipe, and the assumptions that had to be made."""
    precision, notes = recipe.block.precision, []
    zero = read_zero(recipe)
    rows = int(recipe.get("micro_batch_size", 1)) * (ANSWERS if recipe.get("rl") else 1)
    if recipe.get("rl"):
        notes.append(
            "preference learning: each pair counted as two whole rows, an upper bound; the reference's "
            "log-probabilities are computed beforehand and not counted"
        )
    optimizer = str(recipe.get("optimizer", "adamw_torch"))
    moments = SMALL_MOMENTS.get(optimizer, MOMENTS.get(optimizer, -1) * BYTES[precision.optimizer])
    if moments < 0:
        moments = 2.0 * BYTES[precision.optimizer]
        notes.append(
            f"the optimizer {optimizer} is unknown here and is counted like Adam, with two moments per parameter"
        )
    weights: float = BYTES[precision.weights]
    trainable = model.parameters
    if recipe.get("adapter"):
        notes.append("adapters: FLOPs and hours are those of training all weights; frozen ones need about a third less")
        trainable = _adapter(recipe, model)
        output = 2 * model.shape.vocab_rows * model.shape.hidden_size  # stays in the recipe's dtype
        if recipe.get("load_in_4bit"):
            weights = (output * weights + (model.parameters - output) * FOUR_BITS) / model.parameters
    attention = str(recipe.get("attn_implementation", "sdpa"))
    flash = "flash" in attention or bool(recipe.get("flash_attention"))
    varlen = bool(recipe.get("sdpa_varlen")) and machine.cuda and precision.autocast == "bfloat16"
    isolated = recipe.data is None or recipe.block.collator.name == "document_mask"
    dense = isolated and not flash and not varlen
    setup = Setup(
        model.shape,
        model.parameters,
        trainable,
        machine.gpus,
        rows,
        recipe.sequence_len,
        weights,
        BYTES[precision.autocast],
        BYTES[precision.master] if precision.master else 0,
        moments,
        autocast=zero is None and precision.weights != precision.autocast,
        zero=zero,
        checkpointing=bool(recipe.get("gradient_checkpointing")),
        checkpointed=recipe.block.checkpointed_layers,
        keys_repeated=dense or varlen,
        dense_mask=dense,
        kernels=(fused(recipe) if machine.cuda else frozenset()) | one_pass(recipe, model),
        foreach_bytes=4 if machine.cuda and optimizer in FOREACH else 0,
        cuda=machine.cuda,
    )
    return setup, notes


def fused(recipe: CheckedRecipe) -> frozenset[str]:
    """The fused kernels of the recipe, as `memory.Setup` names them."""
    kernels = set()
    for choice in recipe.block.kernels:
        if choice.name == "liger":
            params = recipe.registry.params("kernel", choice.name, choice.values)
            kernels |= {key for key, on in params.model_dump().items() if on}
    if recipe.get("cut_cross_entropy") or recipe.get("liger_fused_linear_cross_entropy"):
        kernels.add("fused_linear_cross_entropy")
    return frozenset(kernels)


def one_pass(recipe: CheckedRecipe, model: Model) -> frozenset[str]:
    """Whether output layer and loss are one pass (`training/one_pass.py`): next-token prediction with a model of ours.
    Losses of later tokens and of expert routers are computed separately, in a forward pass of their own."""
    foreign = recipe.get("base_model") and recipe.block.architecture is None and recipe.block.from_run is None
    own = model.shape.future_tokens or model.shape.experts > 1
    taken = not recipe.get("rl") and recipe.block.objective.name == "next_token" and not foreign and not own
    return frozenset({"one_pass"} if taken else ())


def _adapter(recipe: CheckedRecipe, model: Model) -> int:
    """Number of LoRA parameters: rank × (inputs + outputs) of each targeted matrix, and the embeddings that are trained
    in full."""
    shape = model.shape
    d, f = shape.hidden_size, shape.intermediate_size
    q, kv = shape.num_attention_heads * shape.head_dim, shape.num_key_value_heads * shape.head_dim
    ends = {
        "q_proj": d + q,
        "k_proj": d + kv,
        "v_proj": d + kv,
        "o_proj": q + d,
        "gate_proj": d + f,
        "up_proj": d + f,
        "down_proj": f + d,
    }
    named = ends if recipe.get("lora_target_linear") else recipe.get("lora_target_modules", [])
    rank = int(recipe.get("lora_r", ADAPTER_RANK))
    whole = {"embed_tokens", "lm_head"} & set(recipe.get("lora_modules_to_save", []))
    low_rank = shape.num_hidden_layers * rank * sum(ends.get(name, 0) for name in named)
    return low_rank + len(whole) * shape.vocab_rows * d


def read_zero(recipe: CheckedRecipe) -> Zero | None:
    """The recipe's DeepSpeed configuration; None without DeepSpeed.

    Raises:
        KormoError: the file does not exist or is not JSON.
    """
    named = recipe.get("deepspeed")
    if not named:
        return None
    config = named
    if isinstance(named, str):
        try:
            config = json.loads(located(recipe.resolved, "deepspeed").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise KormoError(
                where=recipe.resolved.where("deepspeed"),
                found=named,
                why=f"it cannot be read: {in_words(error)}",
                do="name a DeepSpeed configuration in JSON",
            ) from None
    return zero_of(config)


def zero_of(config: dict[str, Any]) -> Zero:
    """The memory settings of a DeepSpeed configuration; defaults are DeepSpeed's."""
    part = config.get("zero_optimization") or {}
    stage = int(part.get("stage", 0))
    reduce = _number(part.get("reduce_bucket_size"), 500_000_000)
    gather = _number(part.get("allgather_bucket_size"), 500_000_000)
    overlap = part.get("overlap_comm", stage == 3)
    sent = reduce if stage == 3 else reduce + gather
    accumulated = (config.get("data_types") or {}).get("grad_accum_dtype")
    return Zero(
        stage,
        (part.get("offload_optimizer") or {}).get("device", "none") != "none",
        (part.get("offload_param") or {}).get("device", "none") != "none",
        {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2}.get(str(accumulated)),
        # overlap_comm: 4.5 times the buckets, by DeepSpeed's documentation; ZeRO-3 holds one and what is being sent
        int(sent * ((2 if stage == 3 else 4.5) if overlap else 1)) if stage else 0,
        _number(part.get("stage3_max_live_parameters"), 1_000_000_000),
    )


def _number(value: object, default: int) -> int:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default
