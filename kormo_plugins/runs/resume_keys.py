"""Which keys of a recipe may change when a run is resumed, and what the change does.

A checkpoint holds weights, moments, the step and the state of the random number generators; everything else is read
from the recipe at every start, so a changed key takes effect with the next step. Keys that cannot change are refused
before anything is built, and never ignored. `docs/runs.md` has this table; a test compares the two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.checks.length import too_few_steps
from kormo_plugins.recipe.files.resolve import dotted
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.recipe.projections import RunPlan
from kormo_plugins.store.sums import sha256_of
from kormo_plugins.training.telemetry.run_record import read_record

KEPT_DEEPSPEED = "deepspeed.json"
"""The name by which a resolved recipe refers to the copy of its DeepSpeed configuration."""

PLATEAU = "reduce_lr_on_plateau"
"""A stateful schedule: its checkpoint does not record the initial rate."""

Fate = Literal["applied", "refused", "compared"]


@dataclass(frozen=True)
class Rule:
    """What a change of certain keys does.

    Args:
        keys: dotted keys; one that ends in a dot stands for everything below it.
        fate: `applied` from the next step on; `refused`; or `compared`: a separate check refuses it if it would change
            steps that are already trained.
        says: why, and what happens.
    """

    keys: tuple[str, ...]
    fate: Fate
    says: str

    def covers(self, key: str) -> bool:
        """Whether the rule covers this key."""
        return any(key == own or key.startswith(own.rstrip(".") + ".") for own in self.keys)


RULES = (
    Rule(
        ("learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm"),
        "applied",
        "the next step uses the new value; moments are kept",
    ),
    Rule(
        ("lr_scheduler", "lr_scheduler_kwargs", "cosine_min_lr_ratio", "warmup_steps", "warmup_ratio"),
        "applied",
        "step n gets the rate that it would have in a run started with the new value; schedules that compute each "
        "rate from the one before "
        "(one_cycle, rex, reduce_lr_on_plateau) are refused with other settings when the checkpoint is read",
    ),
    Rule(
        ("max_steps",),
        "applied",
        "the schedule is stretched to the new length; fewer steps than the checkpoint has are refused",
    ),
    Rule(
        ("micro_batch_size", "gradient_accumulation_steps", "deepspeed", "fsdp", "fsdp_config"),
        "applied",
        "the same numbers up to rounding, since kormo.global_batch stays; another number of ranks or another engine is "
        "refused where the checkpoint cannot be read by it",
    ),
    Rule(
        ("logging_steps", "save_steps", "save_total_limit", "kormo.milestones", "kormo.monitor", "kormo.stop_on"),
        "applied",
        "from the next step on",
    ),
    Rule(("kormo.objective", "kormo.collator"), "applied", "the loss is computed the new way from the next step on"),
    Rule(
        ("optimizer", "optim_args"),
        "refused",
        "the checkpoint holds the moments of another optimizer",
    ),
    Rule(
        ("kormo.decay", "embedding_lr", "embedding_lr_scale", "lr_groups"),
        "refused",
        "the parameters would be sorted into other groups than those that the moments belong to",
    ),
    Rule(
        ("kormo.precision",),
        "refused",
        "weights and moments are kept in the dtypes of the checkpoint",
    ),
    Rule(
        ("adapter", "lora_r", "lora_alpha", "lora_target_modules", "lora_target_linear", "peft_use_dora", "rl"),
        "refused",
        "the weights of the checkpoint are those of another kind of model",
    ),
    Rule(
        ("seed", "kormo.tokenizer", "kormo.architecture", "kormo.from_run", "base_model"),
        "compared",
        "the identity of the run: tokenizer, initial weights, seed (kormo.allow_changed accepts a change)",
    ),
    Rule(
        ("kormo.data", "kormo.global_batch", "sequence_len"),
        "compared",
        "step by step: what comes after the checkpoint may change and is logged (kormo.allow_changed: [data] accepts "
        "the rest)",
    ),
)


def check_changed_keys(plan: RunPlan, resolved: Path, step: int) -> list[str]:
    """Compares the recipe with the resolved recipe that the run was started with.

    Args:
        plan: of the run as the recipe says it now.
        resolved: `recipe.yml` of the output folder.
        step: of the checkpoint that the run resumes from.
    Returns:
        a line for each change that takes effect with the next step.
    Raises:
        KormoError: a change cannot be applied, or the checkpoint is already past the new length.
    """
    if plan.steps is not None and plan.steps < step:
        raise too_few_steps(plan.where("max_steps"), plan.steps, step)
    if not resolved.is_file():
        return []
    before, now = dotted(read_yaml(resolved)), dotted(plan.values)
    if before.get("deepspeed") == KEPT_DEEPSPEED:  # the copy beside it; the engine is checked elsewhere
        before["deepspeed"] = now.get("deepspeed")
    changed = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    if now.get("lr_scheduler") == PLATEAU and "learning_rate" in changed:
        raise KormoError(
            where=plan.where("learning_rate"),
            found=f"{_short(before.get('learning_rate'))} → {_short(now.get('learning_rate'))}, with {PLATEAU}",
            why="this schedule computes each rate from the one before, which is in the checkpoint",
            do="restore it, or start a new run (another output_dir) with kormo.from_run",
        )
    refused = [key for key in changed if (rule := rule_of(key)) is not None and rule.fate == "refused"]
    if refused:
        _refuse_changed_copy(resolved)
        rules = {rule.says for key in refused if (rule := rule_of(key)) is not None}
        raise KormoError(
            where=plan.where(refused[0]),
            found="; ".join(f"{key}: {_short(before.get(key))} → {_short(now.get(key))}" for key in refused),
            why=f"the run resumes from step {step}, and {', '.join(sorted(rules))}",
            do="restore it, or start a new run (another output_dir) with kormo.from_run",
        )
    rules_of = [(key, rule_of(key)) for key in changed]
    return [
        f"{key}: {_short(before.get(key))} → {_short(now.get(key))}, from step {step + 1} on"
        for key, rule in rules_of
        if rule is not None and rule.fate == "applied"
    ]


def _refuse_changed_copy(resolved: Path) -> None:
    """What differs from a copy that was changed or cut short says nothing about the run."""
    sha256 = read_record(resolved.parent).get("recipe_sha256")
    if sha256 is not None and sha256_of(resolved.read_bytes()) != sha256:
        raise KormoError(
            where=str(resolved),
            found="it does not match the hash in run.json",
            why="it was changed after the run started, and a resume compares the recipe with it",
            do="restore it from a copy of the run, or remove it to resume without the comparison",
        )


def rule_of(key: str) -> Rule | None:
    """The rule for a key; None if the key has nothing to do with training."""
    return next((rule for rule in RULES if rule.covers(key)), None)


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:37] + "..."
