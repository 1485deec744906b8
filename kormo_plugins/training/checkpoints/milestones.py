"""Milestones: checkpoints every N tokens that are never removed.

Whether a step is a milestone is a pure function of its number (`Settings.is_milestone`), so a resumed run has the same
ones. A milestone is an ordinary complete checkpoint; its marker contains `milestone: true`, which excludes it from
rotation, and `run.json` lists it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transformers import TrainerCallback

from kormo_plugins.training.settings import Settings
from kormo_plugins.training.telemetry import run_record

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class SaveMilestones(TrainerCallback):
    """Asks Trainer to save at milestones, whatever `save_steps` says."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Saves after this step if it is one."""
        if self._settings.is_milestone(state.global_step):
            control.should_save = True


def list_milestone(output_dir: Path, step: int, tokens: int) -> None:
    """Adds a milestone to `run.json`; one that is repeated after a resume is listed once."""
    record = run_record.read_record(output_dir)
    others = [entry for entry in record.get("milestones", []) if entry["step"] != step]
    entry = {"step": step, "tokens": tokens, "checkpoint": f"checkpoint-{step}"}
    milestones = sorted([*others, entry], key=lambda found: int(found["step"]))
    run_record.write_record(output_dir, {**record, "milestones": milestones})
