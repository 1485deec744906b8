"""Refuses a run that is shorter than the checkpoint it would resume from, before anything is imported or built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.checked import CheckedRecipe

CHECKPOINTS = "checkpoint-[0-9]*"


def shorter_than_checkpoint(recipe: CheckedRecipe) -> Iterator[KormoError]:
    """An error if the newest complete checkpoint, or the one that the recipe names, is past the recipe's last step."""
    steps, named = recipe.steps, recipe.get("resume_from_checkpoint")
    if steps is None or not (named or recipe.get("auto_resume_from_checkpoints")):
        return
    folders = [Path(str(named))] if named else list(recipe.output_dir.glob(CHECKPOINTS))
    longer = {step: folder for folder in folders if (step := _step(folder)) > steps}
    if not longer:
        return
    from kormo_plugins.store.complete import fault

    for step in sorted(longer, reverse=True):
        if fault(longer[step]) is None:
            key = "max_steps" if recipe.get("max_steps") is not None else "kormo.tokens"
            yield too_few_steps(recipe.where_asked(key), steps, step)
            return


def _step(folder: Path) -> int:
    """The N of `checkpoint-N`; 0 of any other folder."""
    number = folder.name.removeprefix("checkpoint-")
    return int(number) if number != folder.name and number.isdecimal() else 0


def too_few_steps(where: str, steps: int, step: int) -> KormoError:
    """The error of a run of `steps` steps in a folder with a checkpoint of step `step`; `where` sets the length."""
    return KormoError(
        where=where,
        found=f"{steps} steps, and a checkpoint of step {step}",
        why="the run in this folder is already longer",
        do=f"set max_steps to {step} or more, name an earlier checkpoint with resume_from_checkpoint, or set another "
        "output_dir",
    )
