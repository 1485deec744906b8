"""DeepSpeed checkpoints: what one contains, and whether this job can resume from it.

ZeRO writes one file of optimizer states per rank. Only the same number of ranks with the same kind of partitioning can
read them; for another number of ranks they must be converted first (`universal.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kormo_plugins.errors import KormoError

LATEST = "latest"
LATEST_UNIVERSAL = "latest_universal"
PARTIAL = ".partial"
"""Suffix of a universal folder while it is being written."""


@dataclass(frozen=True)
class Shards:
    """The DeepSpeed part of a checkpoint.

    Attributes:
        folder: `checkpoint-N/global_stepN`.
        ranks: number of ranks that wrote it.
        partitioned_weights: written by ZeRO-3, which also partitions the weights; False: ZeRO-1 or ZeRO-2.
        universal: it was converted, and any number of ranks can read it.
    """

    folder: Path
    ranks: int
    partitioned_weights: bool
    universal: bool


def shards_of(checkpoint: Path) -> Shards | None:
    """The DeepSpeed part of a checkpoint, or None if DeepSpeed did not write it."""
    latest = checkpoint / LATEST
    if not latest.is_file():
        return None
    folder = checkpoint / Path(latest.read_text(encoding="utf-8").strip()).name
    ranks = len(list(folder.glob("*_optim_states.pt")))
    if not ranks:
        return None
    partitioned = any(folder.glob("zero_pp_rank_*_model_states.pt"))
    return Shards(folder, ranks, partitioned, _is_universal(checkpoint))


def _is_universal(checkpoint: Path) -> bool:
    latest = checkpoint / LATEST_UNIVERSAL
    name = latest.read_text(encoding="utf-8").strip() if latest.is_file() else PARTIAL
    return not name.endswith(PARTIAL) and (checkpoint / Path(name).name).is_dir()


def check_resume(checkpoint: Path, stage: int | None, world: int) -> None:
    """Checks that `world` ranks under ZeRO `stage` can resume from a checkpoint.

    Args:
        stage: ZeRO stage of this job; None: it does not use DeepSpeed.
    Raises:
        KormoError: they cannot; the message says what to do.
    """
    shards = shards_of(checkpoint)
    if (shards is None) != (not stage):
        wrote = "DeepSpeed" if shards else "a job without DeepSpeed"
        raise KormoError(
            where=str(checkpoint),
            found=f"a checkpoint of {wrote}; this job uses {'DeepSpeed' if stage else 'no DeepSpeed'}",
            why="the two store the optimizer's state in different layouts",
            do="resume with the same `deepspeed:` as before, or start a new run from its weights (`kormo checkpoint "
            "consolidate`, then kormo.from_run)",
        )
    if shards is None:
        return
    if shards.partitioned_weights != (stage == 3):
        raise KormoError(
            where=str(checkpoint),
            found=f"a checkpoint of {_kind(shards.partitioned_weights)}; this job uses ZeRO-{stage}",
            why="neither can read the other's partitions",
            do=f"resume with a configuration of {_kind(shards.partitioned_weights)}",
        )
    if shards.ranks != world and not shards.universal:
        raise KormoError(
            where=str(checkpoint),
            found=f"written by {shards.ranks} rank(s); this job has {world}",
            why="each rank can read only the part of the optimizer's state that it wrote",
            do=f"run `kormo checkpoint universal {checkpoint}` once, which makes it readable for any number of ranks, "
            f"then run the same command again; or use {shards.ranks} rank(s)",
        )


def _kind(partitioned_weights: bool) -> str:
    return "ZeRO-3" if partitioned_weights else "ZeRO-1 or ZeRO-2"
