"""Numbers that Axolotl accepts and that have no meaning: a negative learning rate, a warm-up of 700%, a step of zero.

Axolotl's configuration model checks that a value is a number, but not its range. Such a value would end in a traceback
of torch or transformers once documents, tokenizer and shards are built, or would train something else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.resolve import Resolved

LARGEST = 2**53
"""Larger integers are not exact in float64, in which several libraries pass them on."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`.

    Args:
        without_low: exclude `low` itself.
        without_high: exclude `high` itself.
        also: values outside the range with a special meaning.
        why: what a number outside would do; empty: it has no meaning.
    """

    low: float
    high: float = math.inf
    without_low: bool = False
    without_high: bool = False
    also: tuple[float, ...] = ()
    why: str = ""

    def __contains__(self, number: float) -> bool:
        if number in self.also:
            return True
        above = number > self.low if self.without_low else number >= self.low
        below = number < self.high if self.without_high else number <= self.high
        return above and below  # false for NaN

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.without_low else f"at least {self.low:g}"
        if self.high == math.inf:
            words = low
        else:
            words = f"{low} and {'below' if self.without_high else 'at most'} {self.high:,.16g}"
        return words + "".join(f", or {number:g}" for number in self.also)


POSITIVE = Range(0, without_low=True)
COUNT = Range(1, LARGEST)
NATURAL = Range(0, LARGEST)
NOT_NEGATIVE = Range(0)
SHARE = Range(0, 1)
PART = Range(0, 1, without_high=True)
PORT = Range(1, 65_535)
EVERY = Range(1, LARGEST, also=(-1,))

RANGES: Mapping[str, Range] = {
    **dict.fromkeys(
        (
            "learning_rate",
            "embedding_lr",
            "embedding_lr_scale",
            "adam_epsilon",
            "adam_epsilon2",
            "dion_lr",
            "loraplus_lr_ratio",
            "loraplus_lr_embedding",
            "lora_alpha",
            "neftune_noise_alpha",
            "num_epochs",
            "rl_beta",
            "dpo_beta",
            "qgalore_scale",
        ),
        POSITIVE,
    ),
    **dict.fromkeys(
        (
            "micro_batch_size",
            "gradient_accumulation_steps",
            "batch_size",
            "eval_batch_size",
            "max_steps",
            "logging_steps",
            "save_total_limit",
            "saves_per_epoch",
            "evals_per_epoch",
            "lora_r",
            "dataloader_prefetch_factor",
            "context_parallel_size",
            "sequence_parallel_degree",
            "tensor_parallel_size",
            "dp_shard_size",
            "dp_replicate_size",
            "ray_num_workers",
            "ddp_timeout",
            "ddp_bucket_cap_mb",
            "profiler_steps",
            "torch_empty_cache_steps",
            "lisa_n_layers",
            "lisa_step_interval",
            "jagged_restart_steps",
            "jagged_restart_anneal_steps",
            "qgalore_rank",
            "qgalore_update_proj_gap",
            "qgalore_proj_group_size",
            "qgalore_queue_size",
            "dion_rank_multiple_of",
            "dataset_processes",
            "dataset_num_proc",
            "heads_k_stride",
            "early_stopping_patience",
            "num_labels",
            "pad_to_multiple_of",
            "max_prompt_len",
            "eval_sequence_len",
        ),
        COUNT,
    ),
    **dict.fromkeys(
        (
            "warmup_steps",
            "dataloader_num_workers",
            "profiler_steps_start",
            "jagged_restart_warmup_steps",
            "min_sample_len",
        ),
        NATURAL,
    ),
    **dict.fromkeys(
        (
            "warmup_ratio",
            "cosine_min_lr_ratio",
            "cosine_constant_lr_ratio",
            "relora_prune_ratio",
            "dion_rank_fraction",
            "qgalore_cos_threshold",
        ),
        SHARE,
    ),
    **dict.fromkeys(("adam_beta1", "adam_beta2", "adam_beta3", "dion_momentum", "lora_dropout"), PART),
    **dict.fromkeys(("weight_decay", "max_grad_norm", "val_set_size", "center_rewards_coefficient"), NOT_NEGATIVE),
    **dict.fromkeys(("otel_metrics_port", "gradio_server_port"), PORT),
    **dict.fromkeys(("gc_steps", "gc_collect_steps"), EVERY),
    "save_steps": Range(
        0,
        LARGEST,
        without_low=True,
        why='Axolotl treats 0 as not set; `save_strategy: "no"` switches saving off',
    ),
    "eval_steps": Range(0, LARGEST, without_low=True),
    "sequence_len": Range(2, 2**31 - 1, why="the first token of a row predicts the second"),
    "seed": Range(0, 2**32 - 1, why="numpy's generators take an unsigned 32-bit seed"),
    "dpo_label_smoothing": Range(0, 0.5, without_high=True),
}
"""Axolotl key -> its valid numbers."""

SAMPLING: Mapping[str, Range] = {
    "temperature": POSITIVE,
    "top_p": Range(0, 1, without_low=True),
    "min_p": SHARE,
    "top_h": SHARE,
    "typical_p": Range(0, 1, without_low=True),
    "epsilon_cutoff": PART,
    "eta_cutoff": PART,
    "top_k": NATURAL,
}
"""Keys of `kormo.generation` that have an effect only with `do_sample: true`."""

GENERATION: Mapping[str, Range] = {
    **SAMPLING,
    "repetition_penalty": POSITIVE,
    "max_new_tokens": COUNT,
    "min_new_tokens": NATURAL,
    "max_length": COUNT,
    "min_length": NATURAL,
    "num_beams": COUNT,
    "num_return_sequences": COUNT,
    "no_repeat_ngram_size": NATURAL,
    "encoder_repetition_penalty": POSITIVE,
    "penalty_alpha": NOT_NEGATIVE,
    "guidance_scale": NOT_NEGATIVE,
    "max_time": POSITIVE,
}
"""Key of `kormo.generation` -> its valid numbers."""


def out_of_range(recipe: Resolved) -> Iterator[KormoError]:
    """An error for each number out of range in Axolotl's keys and in `kormo.generation`, and for each number that is
    not finite, at any depth."""
    for key, value in recipe.values.items():
        if key != "kormo":
            yield from _number(recipe, str(key), value, RANGES.get(str(key)))
    generation = recipe.get("kormo.generation")
    for key, value in generation.items() if isinstance(generation, Mapping) else ():
        yield from _number(recipe, f"kormo.generation.{key}", value, GENERATION.get(str(key)))


def _number(recipe: Resolved, key: str, value: object, wanted: Range | None) -> Iterator[KormoError]:
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _number(recipe, f"{key}.{name}", child, None)
    elif isinstance(value, list):
        for place, child in enumerate(value):
            yield from _number(recipe, f"{key}[{place}]", child, None)
    number = number_of(value) if wanted is not None or not isinstance(value, str) else None
    if number is None:
        return
    if not math.isfinite(number) or (isinstance(value, int) and abs(value) > 2**63):
        yield KormoError(
            where=recipe.where(key),
            found=str(value)[:80],
            why="it is not a finite number of at most 64 bits",
            do=f"give a number that is {wanted}" if wanted else "give a finite number",
        )
    elif wanted is not None and number not in wanted:
        yield KormoError(
            where=recipe.where(key),
            found=str(value)[:80],
            why=wanted.why or "no run is possible with this value",
            do=f"give a number that is {wanted}",
        )


def number_of(value: object) -> float | None:
    """A number as a float, also from text that Axolotl reads as a number (`"3e-4"`); None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None
    except OverflowError:
        return math.inf
