"""Which checkpoint a run resumes from: the newest complete one that this job's ranks can read, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.checks.devices.deepspeed import zero_stage
from kormo_plugins.recipe.projections import RunPlan
from kormo_plugins.store.complete import fault
from kormo_plugins.training.checkpoints.complete import set_aside_incomplete
from kormo_plugins.training.checkpoints.sharded import check_resume


def resume_point(plan: RunPlan, world_size: int, log: Callable[[str], None]) -> Path | None:
    """The checkpoint that Axolotl will resume from; newer incomplete ones are moved aside.

    Called before any rank reads the folder, by the one process that may change it.

    Raises:
        KormoError: the checkpoint that the recipe names is incomplete, or an incompatible job wrote it.
    """
    out, named = plan.output_dir, plan.checkpoint
    chosen = set_aside_incomplete(out, log) if out.is_dir() else None
    if named:
        chosen = Path(named)
        reason = fault(chosen)
        if reason is not None:
            raise KormoError(
                where=plan.where("resume_from_checkpoint"),
                found=str(chosen),
                why=f"it is not a whole checkpoint: {reason}",
                do="name another (`kormo checkpoint list` shows them), or let auto_resume_from_checkpoints choose",
            )
    elif not plan.auto_resume:
        return None
    if chosen is not None:
        check_resume(chosen, zero_stage(plan.deepspeed), world_size)
    return chosen
