"""The rule for preference runs: keys that have no meaning for pairs, or that TRL would ignore or fail on after the data
are built.

A preference run is a recipe with `rl:` and `kormo.data`. A recipe with `rl:` and Axolotl's own `datasets:` is Axolotl's
alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.recipe.files.resolve import Resolved

KINDS = ("dpo", "ipo")
LOSSES = (
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
)
"""The losses of TRL 1.9's DPOTrainer."""


KEEP_APART = ("sdpa", "flash_attention_2", "eager", "flex_attention")
"""Attention backends that separate the texts of a row by restarting positions; FlashAttention needs a single row."""


def preference_runs(recipe: Resolved) -> Iterator[KormoError]:
    """An error for every key that a preference run cannot use."""
    if not recipe.get("rl") or recipe.get("kormo.data") is None:
        if recipe.get("kormo.pack_pairs"):
            yield KormoError(
                where=recipe.where("kormo.pack_pairs"),
                found="pack_pairs: true",
                why="only a preference run (rl) over kormo.data has pairs to pack",
                do="remove it",
            )
        return
    for key, bad, why, fix in _faults(recipe):
        if bad:
            value = recipe.get(key)
            setting = "nothing" if value is None else f"{key.rpartition('.')[2]}: {_yaml(value)}"
            yield KormoError(where=recipe.where(key), found=setting, why=why, do=fix)


def _faults(recipe: Resolved) -> list[tuple[str, object, str, str]]:
    return [*_what_is_learned(recipe), *_ignored_by_trl(recipe), *_packed_pairs(recipe)]


def _what_is_learned(recipe: Resolved) -> list[tuple[str, object, str, str]]:
    get = recipe.get
    losses = get("dpo_loss_type") or []
    unknown = [name for name in losses if name not in LOSSES] if isinstance(losses, list) else []
    return [
        (
            "rl",
            get("rl") not in KINDS,
            "kormo.data builds preference pairs for dpo and ipo only",
            f"set rl to one of: {', '.join(KINDS)}, or name Axolotl's own datasets",
        ),
        (
            "kormo.role",
            get("kormo.role") != "chat",
            "preferences compare answers of a chat model, which end with <|EOT|>",
            "set kormo.role: chat",
        ),
        (
            "kormo.tokens",
            get("kormo.tokens") is not None,
            "the length of a preference run is counted in pairs, not in tokens",
            "set kormo.tokens: null, and max_steps: pairs to train on / global_batch",
        ),
        (
            "kormo.objective.name",
            get("kormo.objective.name") not in (None, "next_token"),
            "dpo_loss_type sets the loss of a preference run; this would be ignored",
            "remove kormo.objective",
        ),
        (
            "dpo_loss_type",
            unknown,
            "TRL has no such loss",
            closest(unknown[0], LOSSES) or f"the losses are: {', '.join(LOSSES)}" if unknown else "",
        ),
    ]


def _ignored_by_trl(recipe: Resolved) -> list[tuple[str, object, str, str]]:
    get = recipe.get
    return [
        ("dpo_padding_free", get("dpo_padding_free"), "TRL 1.9 ignores it with a warning", "remove it"),
        (
            "pad_to_multiple_of",
            get("pad_to_multiple_of"),
            "Axolotl's collator for it expects the columns of an older TRL",
            "remove it",
        ),
        (
            "dpo_use_liger_kernel",
            get("dpo_use_liger_kernel") and get("precompute_ref_log_probs"),
            "the fused loss cannot use log-probabilities that were computed beforehand",
            "remove one of the two: precompute_ref_log_probs saves the second model, the kernel the logits",
        ),
    ]


def _packed_pairs(recipe: Resolved) -> list[tuple[str, object, str, str]]:
    get = recipe.get
    return [
        (
            "kormo.pack_pairs",
            get("kormo.pack_pairs") and not get("precompute_ref_log_probs"),
            "packed pairs are not passed to a second model, so the reference's log-probabilities must be computed "
            "beforehand",
            "set precompute_ref_log_probs: true, or pack_pairs: false",
        ),
        (
            "kormo.pack_pairs",
            get("kormo.pack_pairs") and get("dpo_use_liger_kernel"),
            "the fused loss supports padded pairs only",
            "remove dpo_use_liger_kernel: packed pairs compute no logits of prompts and padding anyway",
        ),
        (
            "kormo.pack_pairs",
            get("kormo.pack_pairs") and get("attn_implementation") not in KEEP_APART,
            "attention must separate the texts in a row by their positions",
            f"set attn_implementation to one of: {', '.join(KEEP_APART)}; or pack_pairs: false",
        ),
    ]


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
