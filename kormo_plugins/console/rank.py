"""Rank and number of processes, from the launcher's environment or from torch's process group."""

from __future__ import annotations

import os


def launched_rank() -> int:
    """Global rank from the launcher (torchrun, accelerate, DeepSpeed, srun with them); 0 without one."""
    return int(os.environ.get("RANK", "0"))


def launched_world_size() -> int:
    """Number of processes that the launcher started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def group_rank() -> tuple[int, int]:
    """Rank in torch's default process group, and its size; (0, 1) without a group."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
