"""The machine that a recipe is planned for: devices, their memory and peak throughput."""

from __future__ import annotations

from dataclasses import dataclass

from kormo_plugins.console.machine import total_memory
from kormo_plugins.errors import KormoError, closest
from kormo_plugins.measures.flops import PEAK_FLOPS

CAPACITY: dict[str, float] = {
    "h100": 85.5e9,
    "h100_pcie": 85.5e9,
    "h100_nvl": 100.5e9,
    "h200": 150.7e9,
    "h200_nvl": 150.7e9,
    "a100": 85.9e9,
    "a100_40": 42.9e9,
    "b200": 192.3e9,
    "l40s": 48.3e9,
    "rtx4090": 25.7e9,
}
"""Bytes of one device as the driver reports them; `cpu` is the memory of this machine."""


@dataclass(frozen=True)
class Machine:
    """The machine that the recipe is planned for.

    Args:
        gpus: ranks, one per device.
        gpu: a key of `PEAK_FLOPS`, or `a100_40`.
        mfu: model FLOPs utilization: share of the peak that training reaches.
    """

    gpus: int = 1
    gpu: str = "h100"
    mfu: float = 0.4

    def __post_init__(self) -> None:
        names = [*PEAK_FLOPS, "a100_40"]
        if self.gpu not in names:
            raise KormoError(
                where="kormo recipe plan: --gpu",
                found=repr(self.gpu),
                why=f"the devices are: {', '.join(names)}",
                do=closest(self.gpu, names, "name one of them"),
            )
        if self.gpus < 1 or not 0 < self.mfu <= 1:
            raise KormoError(
                where="kormo recipe plan",
                found=f"--gpus {self.gpus} --mfu {self.mfu}",
                why="--gpus is at least 1, and --mfu is above 0 and at most 1",
                do="correct the number",
            )

    @property
    def cuda(self) -> bool:
        """Whether the devices are GPUs."""
        return self.gpu != "cpu"

    @property
    def capacity(self) -> float:
        """Bytes of memory of one device; a rank's share of this machine's for `cpu`."""
        if self.cuda:
            return CAPACITY[self.gpu]
        return total_memory() / self.gpus

    def peak(self, dtype: str) -> float:
        """Peak FLOP/s of one device; float32 products use TF32 tensor cores only on request, so not here."""
        return PEAK_FLOPS[self.gpu.removesuffix("_40")][dtype]
