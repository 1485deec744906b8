"""Estimates the cost of a recipe before anything is built: parameters, tokens, steps, FLOPs, memory, disk and hours.

    steps            ceil(tokens / (global_batch × sequence_len))
    flops            FLOPs per token (flops.py) × tokens, with every row as one context: an upper bound
    hours            flops / (GPUs × peak of one at the recipe's precision × MFU)
    memory per GPU   memory.py, and if it does not fit, keys of the recipe to change

Pure arithmetic on the recipe; neither torch nor Axolotl is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.measures.flops import model_flops_per_token
from kormo_plugins.recipe.cost.advice import advise
from kormo_plugins.recipe.cost.disk import checkpoints
from kormo_plugins.recipe.cost.machine import Machine
from kormo_plugins.recipe.cost.memory import GB, Memory, Setup, Zero, memory
from kormo_plugins.recipe.cost.model_size import Model, model_of
from kormo_plugins.recipe.cost.setup import ANSWERS, setup_of
from kormo_plugins.recipe.load import Recipe


@dataclass(frozen=True)
class Plan:
    """The cost of a recipe on a machine. Lengths are None if Axolotl's own datasets determine them.

    For preference learning, `rows_per_step` and `micro_batch_size` count pairs, and each pair is two rows of tokens.
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
    checkpoints: dict[str, object]
    notes: tuple[str, ...]
    advice: tuple[dict[str, Any], ...]

    @property
    def fits(self) -> bool:
        """Whether the memory of a device is sufficient."""
        return self.memory.total <= self.machine.capacity

    @property
    def units(self) -> str:
        """The unit of batch sizes."""
        return "rows" if self.setup.rows == self.micro_batch_size else "pairs of texts"

    def as_json(self) -> dict[str, object]:
        """As JSON values, with bytes in GB of 10^9."""
        parts = ("weights", "gradients", "optimizer", "activations", "logits", "buffers", "total")
        zero = self.setup.zero or Zero()
        length = self.setup.sequence_len
        return {
            "parameters": self.model.parameters,
            "active_parameters": self.model.active,
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
        KormoError: the size of the model is not known yet, or the ranks cannot form the global batch.
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
    rate = machine.gpus * machine.peak(block.precision.autocast) * machine.mfu
    usage, kernels = memory(setup), recipe.registry.names("kernel")
    return Plan(
        machine,
        model,
        setup,
        usage,
        block.global_batch,
        micro,
        per_step,
        accumulation,
        steps,
        tokens,
        per_token,
        flops,
        None if flops is None else flops / rate / 3600,
        checkpoints(recipe, setup),
        tuple(notes),
        tuple(advise(setup, micro, machine.capacity, "liger" in kernels)),
    )


def _accumulation(recipe: Recipe, micro: int, ranks: int) -> int | None:
    """Accumulation steps; both batch sizes are in rows, or in pairs for preference learning."""
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
