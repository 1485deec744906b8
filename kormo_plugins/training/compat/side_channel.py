"""A control channel between ranks: small values over gloo, separate from the tensors of training.

The values (a flag at the end of each step, the list of a checkpoint's files) are on the CPU, so a call costs a network
round trip and never synchronizes with a GPU. Every method is collective: all ranks call it, in the same order. With one
rank nothing is sent.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

Value = TypeVar("Value")

PATIENCE = timedelta(hours=2)
"""Timeout of one rank waiting for another: rank 0 may be hashing a checkpoint of hundreds of gigabytes."""


class ControlChannel:
    """The ranks of this job; created once, when the process group exists.

    Attributes:
        rank: of this process.
        world: number of ranks.
    """

    def __init__(self) -> None:
        import torch.distributed as dist

        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.world = dist.get_world_size() if together else 1
        self._group: dist.ProcessGroup | None = (
            dist.new_group(backend="gloo", timeout=PATIENCE) if self.world > 1 else None
        )

    @property
    def main(self) -> bool:
        """Whether this is rank 0, which writes shared files."""
        return self.rank == 0

    def highest(self, number: int) -> int:
        """The maximum over all ranks."""
        if self.world == 1:
            return number
        import torch
        import torch.distributed as dist

        tensor = torch.tensor([number], dtype=torch.int64)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX, group=self._group)
        return int(tensor.item())

    def from_main(self, value: Value) -> Value:
        """Rank 0's value, on every rank."""
        if self.world == 1:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def gather(self, value: Value) -> list[Value]:
        """Every rank's value, by rank, on every rank."""
        if self.world == 1:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value, group=self._group)
        return values
