"""The guarantees of our trainer as a callback for trainers that are not ours, such as TRL's for preference learning.

Complete checkpoints, marked last and rotated afterwards, and an orderly exit on a signal.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from transformers import TrainerCallback

from kormo_plugins.errors import KormoError
from kormo_plugins.store.complete import MARKER
from kormo_plugins.training.checkpoints.recipe_wins import obey_or_refuse
from kormo_plugins.training.checkpoints.saving import complete
from kormo_plugins.training.compat.side_channel import ControlChannel
from kormo_plugins.training.guards.preemption import Preemption
from kormo_plugins.training.settings import Settings

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class RunCallback(TrainerCallback):
    """The callback for a run of another trainer.

    Args:
        settings: the recipe.
        stop: ends the process with a KormoError's message.
    """

    def __init__(self, settings: Settings, stop: Callable[[KormoError], NoReturn]) -> None:
        self._settings, self._stop = settings, stop
        self._limit: int | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Installs signal handlers, and takes over the removal of older checkpoints, which Trainer does too early."""
        self._ranks = ControlChannel()
        self._watch = Preemption(self._ranks)
        self._watch.start()
        self._watch.on_train_begin(args, state, control, **kwargs)
        if state.global_step > 0:
            try:
                obey_or_refuse(args, kwargs["optimizer"], kwargs["lr_scheduler"], self._settings.output_dir)
            except KormoError as error:
                self._stop(error)
        self._limit, args.save_total_limit = args.save_total_limit, None
        if self._ranks.main:
            (self._settings.output_dir / MARKER).unlink(missing_ok=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Saves and stops if a rank received a signal."""
        self._watch.on_step_end(args, state, control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Marks the checkpoint that Trainer has just written."""
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        best = [Path(state.best_model_checkpoint)] if state.best_model_checkpoint else []
        try:
            complete(self._settings, self._ranks, folder, state.global_step, self._limit, best)
        except KormoError as error:
            self._stop(error)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Exits with status 75 if the run was stopped before its end."""
        self._watch.stop()
        args.save_total_limit = self._limit
        if self._watch.signal and state.global_step < state.max_steps:
            self._watch.leave(self._settings.output_dir, state.global_step)
