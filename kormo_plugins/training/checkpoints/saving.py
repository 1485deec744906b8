"""Writes checkpoints safely: first all ranks, then the marker, then the removal of older ones.

Trainer removes old checkpoints before the new one is known to be complete, and ignores the files of other ranks. Here
the order is: every rank writes; every rank hashes its share of the files (a 10B checkpoint is 150 GB, too much for one
process to read while the others wait); rank 0 writes the marker; rank 0 removes old checkpoints. A crash at any point
leaves the last complete checkpoint in place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.errors import KormoError, disk_error_in
from kormo_plugins.store.complete import MARKER
from kormo_plugins.training.checkpoints import complete as checkpoint
from kormo_plugins.training.checkpoints import milestones
from kormo_plugins.training.checkpoints.saved_config import restore
from kormo_plugins.training.compat.side_channel import ControlChannel
from kormo_plugins.training.settings import Settings

if TYPE_CHECKING:
    from transformers import Trainer


def save_whole(
    trainer: Trainer, settings: Settings, ranks: ControlChannel, folder: Path, save: Callable[[], None]
) -> None:
    """Writes a checkpoint with `save`, marks it and removes older ones; called by every rank.

    Args:
        trainer: transformers' Trainer; its `save_total_limit` is kept from rotating and obeyed here.
        folder: what `save` writes, in a folder that all ranks share.
        save: Trainer's own save method.
    Raises:
        KormoError: no space, or files of some rank are not in the folder.
    """
    step = int(trainer.state.global_step)
    limit, trainer.args.save_total_limit = trainer.args.save_total_limit, None
    if ranks.main:
        (folder / MARKER).unlink(missing_ok=True)  # an earlier run may have left one for this step
    best = trainer.state.best_model_checkpoint
    try:
        save()
        complete(settings, ranks, folder, step, limit, [Path(best)] if best else [])
    except KormoError:
        raise
    except Exception as error:  # an OSError; torch and safetensors wrap it in other exceptions
        named = disk_error_in(error, where=folder.parent)
        if named is None:
            raise
        raise _told(named, ranks) from error
    finally:
        trainer.args.save_total_limit = limit


def complete(
    settings: Settings, ranks: ControlChannel, folder: Path, step: int, limit: int | None, keep: Collection[Path] = ()
) -> None:
    """Marks the checkpoint as complete and removes older ones; called by every rank.

    Args:
        limit: rolling checkpoints to keep; None: all.
        keep: checkpoints that are not removed.
    """
    ranks.gather(None)  # every rank has written
    if ranks.main:
        restore(folder, settings.special, settings.generation)
        _refuse_missing_ranks(folder, ranks.world)
    _mark(folder, step, ranks, settings.is_milestone(step))
    if ranks.main:
        if settings.is_milestone(step):
            milestones.list_milestone(settings.output_dir, step, step * settings.tokens_per_step)
        checkpoint.rotate(folder, limit, keep)
    ranks.gather(None)


def _mark(folder: Path, step: int, ranks: ControlChannel, milestone: bool) -> None:
    """Writes the marker for the files of all ranks, which hash them together."""
    names = ranks.from_main(checkpoint.file_names(folder) if ranks.main else [])
    try:
        mine: dict[str, Any] = checkpoint.entries(folder, names[ranks.rank :: ranks.world])
    except OSError as error:
        mine = {"error": str(error)}
    files: dict[str, object] = {}
    for rank, part in enumerate(ranks.gather(mine)):
        if "error" in part:
            raise _not_shared(folder, f"rank {rank} cannot read it: {part['error']}")
        files.update(part)
    if ranks.main:
        checkpoint.write_marker(folder, step, files, milestone)


def _refuse_missing_ranks(folder: Path, world: int) -> None:
    """Checks that the random state of every rank exists; a missing one was written to the disk of another machine."""
    wanted = ["rng_state.pth"] if world == 1 else [f"rng_state_{rank}.pth" for rank in range(world)]
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing and any(folder.glob("rng_state*.pth")):
        raise _not_shared(folder, f"{', '.join(missing[:4])} {'is' if len(missing) == 1 else 'are'} not in it")


def _not_shared(folder: Path, what: str) -> KormoError:
    return KormoError(
        where=str(folder),
        found=what,
        why="all ranks write into one checkpoint, so output_dir must be on a file system that all nodes share",
        do="set output_dir to a folder on a shared file system",
    )


def _told(error: KormoError, ranks: ControlChannel) -> KormoError:
    """The error, printed by this rank too, since rank 0 may not know of it."""
    if not ranks.main:
        print(f"rank {ranks.rank}: {error.render()}", file=sys.stderr, flush=True)
    return error
