"""Creates and opens the callbacks of a run: those that the recipe names, and those of `kormo.monitor`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kormo_plugins.console.rank import group_rank
from kormo_plugins.hookspecs import OpensRun
from kormo_plugins.monitoring.monitor import RunView, Texts
from kormo_plugins.pipeline.artifacts.tokenizers import special_ids
from kormo_plugins.pipeline.built import Built
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.runs import provenance
from kormo_plugins.tokenizer.chat.conversations import ChatEncoder

if TYPE_CHECKING:
    from transformers import Trainer, TrainerCallback


HELD_OUT = "held_out"
"""Folder in a corpus artifact with its held-out documents, which are not in the training data."""


def watchers(recipe: Recipe, built: Built, trainer: Trainer, named: list[TrainerCallback]) -> list[TrainerCallback]:
    """`named` and the callbacks of `kormo.monitor`, with `open` called on each that has it.

    Args:
        trainer: logs their results, to `metrics.jsonl` and every tracker.
        named: the callbacks that the recipe names.
    """
    if group_rank()[0] == 0:
        assert trainer.model is not None
        provenance.record(recipe, built, trainer.model)
    made = [*named, *monitoring(recipe)]
    view = run_view(recipe, built, trainer)
    for callback in made:
        if isinstance(callback, OpensRun):
            callback.open(view)
    return made


def monitoring(recipe: Recipe) -> list[TrainerCallback]:
    """The callbacks of `kormo.monitor`."""
    monitor = recipe.block.monitor
    if monitor is None:
        return []
    per_step = recipe.block.global_batch * recipe.sequence_len if recipe.block.global_batch else None
    made = []
    for name, values in monitor.callbacks(monitor.steps_between(per_step)):
        params = recipe.registry.params("run_callback", name, values, f"{recipe.path}: kormo.monitor.{name}")
        made.append(recipe.registry.load("run_callback", name)(params))
    return made


def run_view(recipe: Recipe, built: Built, trainer: Trainer) -> RunView:
    """The run as its callbacks see it."""
    sources = recipe.data.corpus.sources if recipe.data is not None else {}
    external = recipe.external_eval.corpus.sources if recipe.external_eval is not None else {}
    return RunView(
        output_dir=recipe.output_dir,
        tokenizer=built.tokenizer,
        held_out={
            name: Texts((artifact.path / HELD_OUT,), _control_tokens(sources[name]))
            for name, artifact in built.corpora.items()
        },
        external_eval={
            name: Texts((artifact.path, artifact.path / HELD_OUT), _control_tokens(external[name]))
            for name, artifact in built.external_eval.items()
        },
        special=special_ids(built.tokenizer, recipe.block.role),
        sequence_len=recipe.sequence_len,
        micro_batch_size=int(recipe.get("micro_batch_size", 1)),
        seed=recipe.seed,
        conversations=_conversations(recipe, built),
        log=partial(_log, trainer),
    )


def _conversations(recipe: Recipe, built: Built) -> ChatEncoder | None:
    return ChatEncoder(built.tokenizer) if recipe.block.role == "chat" and built.tokenizer is not None else None


def _log(trainer: Trainer, values: dict[str, float]) -> None:
    """Logs through the trainer, and keeps it from considering the step logged: its own log of the step must still
    follow."""
    due = trainer.control.should_log
    trainer.log(values)
    trainer.control.should_log = due


def _control_tokens(source: object) -> tuple[str, ...]:
    """Added tokens that may occur as such in the documents of a source."""
    return tuple(getattr(source, "control_tokens", None) or ())
