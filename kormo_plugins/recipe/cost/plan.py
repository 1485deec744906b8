"""What a recipe will cost: parameters, tokens, steps, FLOPs, memory, disk and hours, before anything is built.

    steps            ceil(tokens / (global_batch × sequence_len))
    flops            FLOPs per token (flops.py) × tokens, every row counted as one context: an upper bound
    hours            flops / (GPUs × peak of one at the recipe's precision × MFU)
    memory per GPU   memory.py, and what to change when it does not fit, in the recipe's own keys

Pure arithmetic on the recipe; neither torch nor Axolotl is imported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kormo_plugins.console.machine import total_memory
from kormo_plugins.errors import KormoError, closest
from kormo_plugins.measures.flops import PEAK_FLOPS, model_flops_per_token
from kormo_plugins.recipe.cost.advice import advise
from kormo_plugins.recipe.cost.memory import GB, Memory, Setup, Zero, memory
from kormo_plugins.recipe.cost.model_size import Model, model_of
from kormo_plugins.recipe.files.paths import located
from kormo_plugins.recipe.load import Recipe

BYTES = {"float32": 4, "bfloat16": 2}


CAPACITY: dict[str, float] = {
    "h100": 85.5e9,
    "h100_pcie": 85.5e9,
    "h100_nvl": 100.5e9,
    "h200": 150.7e9,
    "h200_nvl": 150.7e9,
    "a100": 85.9e9,
    "a100_40": 42.9e9,
    "b200": 192.3e9,
    "l40s": 48.3e9,
    "rtx4090": 25.7e9,
}
"""Bytes that the driver reports for one device; `cpu` is this machine's memory."""

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
"""Values of the moments' dtype that an optimizer keeps per parameter."""

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
"""Bytes per parameter of those with a dtype of their own: quantized with a scale per block, or paged to the host."""

FOREACH = frozenset({"adamw_torch", "sgd", "adagrad", "rmsprop"})
"""Those of torch's own that update all parameters at once, through a copy of one moment."""

DEFAULT_SAVE_TOTAL_LIMIT = 4  # Axolotl's
ADAPTER_RANK = 8  # Axolotl's
ANSWERS = 2
"""Texts of a preference pair."""

FOUR_BITS = 0.5 + 4 / 64  # NF4 with a float32 scale for each block of 64


@dataclass(frozen=True)
class Machine:
    """Where the recipe is to run.

    Args:
        gpus: ranks, one per device.
        gpu: a key of `PEAK_FLOPS`, or `a100_40`.
        mfu: share of the peak that training reaches.
    """

    gpus: int = 1
    gpu: str = "h100"
    mfu: float = 0.4

    def __post_init__(self) -> None:
        names = [*PEAK_FLOPS, "a100_40"]
        if self.gpu not in names:
            raise KormoError(
                where="kormo recipe plan: --gpu",
                found=repr(self.gpu),
                why=f"the devices are: {', '.join(names)}",
                do=closest(self.gpu, names, "name one of them"),
            )
        if self.gpus < 1 or not 0 < self.mfu <= 1:
            raise KormoError(
                where="kormo recipe plan",
                found=f"--gpus {self.gpus} --mfu {self.mfu}",
                why="at least one GPU computes, with a share of its peak above 0 and at most 1",
                do="correct the number",
            )

    @property
    def cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.gpu != "cpu"

    @property
    def capacity(self) -> float:
        """Bytes of memory of one device; a rank's share of this machine's for `cpu`."""
        if self.cuda:
            return CAPACITY[self.gpu]
        return total_memory() / self.gpus

    def peak(self, dtype: str) -> float:
        """FLOP/s of one device; float32 products run in tensor cores as TF32 only where asked, so not here."""
        return PEAK_FLOPS[self.gpu.removesuffix("_40")][dtype]


@dataclass(frozen=True)
class Plan:
    """What a recipe costs on a machine. Lengths are None where Axolotl's own datasets decide them.

    Of preference learning, `rows_per_step` and `micro_batch_size` count pairs, and each pair is two rows of tokens.
    """

    machine: Machine
    model: Model
    setup: Setup
    memory: Memory
    rows_per_step: int | None
    micro_batch_size: int
    tokens_per_step: int | None
    accumulation: int | None
    steps: int | None
    tokens: int | None
    flops_per_token: float
    flops: float | None
    hours: float | None
    checkpoints: dict[str, Any]
    notes: tuple[str, ...]
    advice: tuple[dict[str, Any], ...]

    @property
    def fits(self) -> bool:
        """Whether a rank's memory is enough."""
        return self.memory.total <= self.machine.capacity

    @property
    def units(self) -> str:
        """What a batch is counted in."""
        return "rows" if self.setup.rows == self.micro_batch_size else "pairs of texts"

    def as_json(self) -> dict[str, Any]:
        """Plain values: numbers of bytes in GB of 10^9."""
        parts = ("weights", "gradients", "optimizer", "activations", "logits", "buffers", "total")
        zero = self.setup.zero or Zero()
        length = self.setup.sequence_len
        return {
            "parameters": self.model.parameters,
            "trainable_parameters": self.setup.trainable,
            "global_batch": self.rows_per_step,
            "micro_batch_size": self.micro_batch_size,
            "accumulation": self.accumulation,
            "sequence_len": length,
            "tokens_per_step": self.tokens_per_step,
            "steps": self.steps,
            "tokens": self.tokens,
            "flops_per_token": self.flops_per_token,
            "flops": self.flops,
            "hours": self.hours,
            "gpu_hours": None if self.hours is None else self.hours * self.machine.gpus,
            "gpus": self.machine.gpus,
            "gpu": self.machine.gpu,
            "mfu": self.machine.mfu,
            "zero_stage": zero.stage,
            "gradient_checkpointing": self.setup.checkpointing,
            "memory_per_gpu_gb": {part: getattr(self.memory, part) / GB for part in parts},
            "host_memory_per_gpu_gb": self.memory.host / GB,
            "capacity_per_gpu_gb": self.machine.capacity / GB,
            "checkpoints_gb": self.checkpoints,
            "fits": self.fits,
            "advice": list(self.advice),
            "notes": list(self.notes),
        }


def plan(recipe: Recipe, machine: Machine) -> Plan:
    """The cost of a checked recipe.

    Raises:
        KormoError: a model whose size cannot be known yet, or a global batch that the ranks cannot make.
    """
    model = model_of(recipe)
    setup, notes = setup_of(recipe, model, machine)
    block = recipe.block
    micro = int(recipe.get("micro_batch_size", 1))
    accumulation = _accumulation(recipe, micro, machine.gpus)
    answers = ANSWERS if recipe.get("rl") else 1
    per_step = None if block.global_batch is None else block.global_batch * recipe.sequence_len * answers
    steps = recipe.steps
    tokens = None if steps is None or per_step is None else steps * per_step
    per_token = model_flops_per_token(model.shape, recipe.sequence_len)
    flops = None if tokens is None else per_token * tokens
    rate = machine.gpus * machine.peak(block.precision.compute) * machine.mfu
    found, kernels = memory(setup), recipe.registry.names("kernel")
    return Plan(
        machine,
        model,
        setup,
        found,
        block.global_batch,
        micro,
        per_step,
        accumulation,
        steps,
        tokens,
        per_token,
        flops,
        None if flops is None else flops / rate / 3600,
        _checkpoints(recipe, setup),
        tuple(notes),
        tuple(advise(setup, micro, machine.capacity, "liger" in kernels)),
    )


def _accumulation(recipe: Recipe, micro: int, ranks: int) -> int | None:
    """Micro-batches of a step; both batches count rows, or the pairs of preference learning."""
    whole = recipe.block.global_batch
    if whole is None:
        return None
    if whole % (micro * ranks):
        units = "pairs" if recipe.get("rl") else "rows"
        raise KormoError(
            where=recipe.resolved.where("kormo.global_batch"),
            found=f"{whole} {units}, with micro_batch_size {micro} on {ranks} ranks",
            why=f"{whole} is not a multiple of {micro} × {ranks} = {micro * ranks}; training would refuse it too",
            do="change micro_batch_size or --gpus so that their product divides global_batch",
        )
    return whole // (micro * ranks)


def setup_of(recipe: Recipe, model: Model, machine: Machine) -> tuple[Setup, list[str]]:
    """What decides memory, from the recipe's keys; and what had to be assumed."""
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
        notes.append(f"the optimizer {optimizer} is not known here: counted like Adam, two moments per parameter")
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
    varlen = bool(recipe.get("sdpa_varlen")) and machine.cuda and precision.compute == "bfloat16"
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
        BYTES[precision.compute],
        BYTES[precision.master] if precision.master else 0,
        moments,
        autocast=zero is None and precision.weights != precision.compute,
        zero=zero,
        checkpointing=bool(recipe.get("gradient_checkpointing")),
        keys_repeated=dense or varlen,
        dense_mask=dense,
        kernels=(fused(recipe) if machine.cuda else frozenset()) | one_pass(recipe),
        foreach_bytes=4 if machine.cuda and optimizer in FOREACH else 0,
        cuda=machine.cuda,
    )
    return setup, notes


def fused(recipe: Recipe) -> frozenset[str]:
    """The fused kernels that the recipe asks for, as `memory.Setup` names them."""
    found = set()
    for choice in recipe.block.kernels:
        if choice.name == "liger":
            params = recipe.registry.params("kernel", choice.name, choice.values)
            found |= {key for key, on in params.model_dump().items() if on}
    if recipe.get("cut_cross_entropy") or recipe.get("liger_fused_linear_cross_entropy"):
        found.add("fused_linear_cross_entropy")
    return frozenset(found)


def one_pass(recipe: Recipe) -> frozenset[str]:
    """Whether output layer and loss are our one pass (`training/one_pass.py`): next-token prediction of our family."""
    foreign = recipe.get("base_model") and recipe.block.architecture is None and recipe.block.from_run is None
    taken = not recipe.get("rl") and recipe.block.objective.name == "next_token" and not foreign
    return frozenset({"one_pass"} if taken else ())


def _adapter(recipe: Recipe, model: Model) -> int:
    """Parameters of LoRA on the matrices that the recipe names, rank × (inputs + outputs) of each, and of the
    embeddings that are trained whole."""
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


def read_zero(recipe: Recipe) -> Zero | None:
    """The recipe's DeepSpeed configuration; None without DeepSpeed.

    Raises:
        KormoError: a file that is not there or not JSON.
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
                why=f"it cannot be read: {error}",
                do="name a DeepSpeed configuration in JSON",
            ) from None
    return zero_of(config)


def zero_of(config: dict[str, Any]) -> Zero:
    """What a DeepSpeed configuration says about memory; defaults are DeepSpeed's."""
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
        # overlap_comm: DeepSpeed's documentation says 4.5 times the buckets; ZeRO-3 holds one and what is being sent
        int(sent * ((2 if stage == 3 else 4.5) if overlap else 1)) if stage else 0,
        _number(part.get("stage3_max_live_parameters"), 1_000_000_000),
    )


def _number(value: Any, default: int) -> int:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default


def checkpoint_bytes(recipe: Recipe) -> float | None:
    """Bytes on disk of the checkpoints that are kept, the finished model and its export; None where the model's size
    is not known before it is built."""
    try:
        model = model_of(recipe)
        sizes = _checkpoints(recipe, setup_of(recipe, model, Machine(gpu="cpu"))[0])
    except (KormoError, OSError):
        return None
    return float(GB * (sizes["rolling"] + 2 * sizes["export"]))


def _checkpoints(recipe: Recipe, setup: Setup) -> dict[str, Any]:
    """Sizes on disk, in GB, over all ranks."""
    weights = setup.parameters * setup.weight_bytes
    if setup.trainable < setup.parameters:
        weights = 4.0 * setup.trainable
    state = setup.trainable * (setup.master_bytes + setup.moment_bytes)
    kept = int(recipe.get("save_total_limit", DEFAULT_SAVE_TOTAL_LIMIT))
    full = (weights + state) / GB
    return {"full": full, "kept": kept, "rolling": full * kept, "export": weights / GB}
