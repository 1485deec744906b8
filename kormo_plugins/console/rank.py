"""Which of several processes this is: as the launcher says, before any process group, and within one."""

from __future__ import annotations

import os


def launched_rank() -> int:
    """The global rank that a launcher (torchrun, accelerate, DeepSpeed, srun with them) gave this process; 0 alone."""
    return int(os.environ.get("RANK", "0"))


def launched_world_size() -> int:
    """The number of processes that the launcher started; 1 alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def group_rank() -> tuple[int, int]:
    """This process's rank in torch's default process group, and the group's size; (0, 1) where there is none."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
