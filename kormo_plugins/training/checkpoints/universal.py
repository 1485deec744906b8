"""Resuming with another number of ranks: DeepSpeed's universal checkpoints, with two of its bugs corrected.

`convert` splits the flat partitions of the ranks into one file per parameter, which any number of ranks can read.
`load` replaces Trainer's call of DeepSpeed: it uses the universal form only if the number of ranks has changed, and
then corrects two errors of DeepSpeed 0.18 under ZeRO-3:

1. all parameter groups share one `step` tensor, which AdamW then counts up once per group;
2. all parameter groups get the settings of the first one, so that norms and embeddings would be decayed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.errors import KormoError
from kormo_plugins.store.atomic import publish, write_text
from kormo_plugins.store.complete import fault, read_marker
from kormo_plugins.training.checkpoints import complete as whole
from kormo_plugins.training.checkpoints.sharded import LATEST_UNIVERSAL, PARTIAL, Shards, shards_of
from kormo_plugins.training.checkpoints.weights_only import weights_only

if TYPE_CHECKING:
    import torch


def convert(checkpoint: Path, workers: int = 1) -> Shards:
    """Adds the universal form beside the ranks' own files, and lists it in the marker.

    Args:
        checkpoint: a complete checkpoint of DeepSpeed.
        workers: processes; each has one rank's optimizer states in memory.
    Raises:
        KormoError: not a complete checkpoint, or not one of DeepSpeed.
    """
    reason = fault(checkpoint)
    if reason is not None:
        raise KormoError(
            where=str(checkpoint),
            found="not a whole checkpoint",
            why=reason,
            do="name one that `kormo checkpoint list` calls whole",
        )
    shards = shards_of(checkpoint)
    if shards is None:
        raise KormoError(
            where=str(checkpoint),
            found="no files of DeepSpeed",
            why="a checkpoint without DeepSpeed is read by any number of ranks",
            do="resume from it directly",
        )
    if shards.universal:
        return shards
    out = checkpoint / f"{shards.folder.name}_universal"
    partial = checkpoint / f"{out.name}{PARTIAL}"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    _run_deepspeed(shards.folder, partial, workers)
    publish(partial, out)
    marker = read_marker(checkpoint)
    added = [name for name in whole.file_names(checkpoint) if name.startswith(f"{out.name}/")]
    write_text(checkpoint / LATEST_UNIVERSAL, out.name)  # the universal form is used from here on
    files = {**marker["files"], **whole.entries(checkpoint, [*added, LATEST_UNIVERSAL])}
    whole.write_marker(checkpoint, marker["step"], files, bool(marker.get("milestone")))
    return Shards(shards.folder, shards.ranks, shards.partitioned_weights, True)


def _run_deepspeed(source: Path, out: Path, workers: int) -> None:
    from deepspeed.checkpoint import ds_to_universal

    output = io.StringIO()
    with weights_only(source.parent), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        ds_to_universal.main(
            argparse.Namespace(
                input_folder=str(source),
                output_folder=str(out),
                num_extract_workers=workers,
                num_merge_workers=workers,
                keep_temp_folder=False,
                strict=True,
                inject_missing_state=True,
            )
        )
    (out.parent / LATEST_UNIVERSAL).unlink()  # it names the partial folder; ours is written after the rename


def load(original: Callable[..., None], engine: Any, path: str, **kwargs: object) -> None:
    """Reads a checkpoint into DeepSpeed's engine, in the universal form if another number of ranks wrote it.

    Args:
        original: transformers' `deepspeed_load_checkpoint`.
        engine: DeepSpeed's engine with its optimizer and scheduler.
    """
    import torch.distributed as dist

    shards = shards_of(Path(path))
    world = dist.get_world_size() if dist.is_initialized() else 1
    if shards is None or shards.ranks == world or not shards.universal:
        return original(engine, path, **kwargs)
    optimizer = engine.optimizer.optimizer
    fresh = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    engine._config.load_universal_checkpoint = True
    try:
        original(engine, path, **kwargs)
    finally:
        engine._config.load_universal_checkpoint = False
    if shards.partitioned_weights:
        own_settings(optimizer.param_groups, fresh)
        own_steps(optimizer)


def own_settings(groups: list[dict[str, Any]], fresh: list[dict[str, Any]]) -> None:
    """Restores the settings of each group; the learning rate keeps its position in the schedule.

    Args:
        groups: as loaded by DeepSpeed, all with the settings of the saved first group.
        fresh: from the recipe, at the start of the schedule.
    """
    first = groups[0]
    peak = first.get("initial_lr") or 0.0
    progress = float(first["lr"]) / float(peak) if peak else 1.0
    for group, own in zip(groups, fresh, strict=True):
        group.update(own)
        if peak:
            group["lr"] = own["initial_lr"] * progress


def own_steps(optimizer: torch.optim.Optimizer) -> None:
    """Gives each parameter's state its own step tensor."""
    for state in optimizer.state.values():
        if hasattr(state.get("step"), "clone"):
            state["step"] = state["step"].clone()
