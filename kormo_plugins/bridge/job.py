"""What this process was started for, from Axolotl's raw configuration and the launcher's environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kormo_plugins.bridge.commands import command
from kormo_plugins.training.compat import cpu_ranks

if TYPE_CHECKING:
    from axolotl.utils.dict import DictDefault


@dataclass(frozen=True)
class Job:
    """One process of one of Axolotl's commands.

    Args:
        preprocesses: builds everything and trains nothing (`axolotl preprocess`).
        merges: makes one model of base and adapters (`axolotl merge-lora`).
        quantizes: rewrites a finished model (`axolotl quantize`).
        drives: starts the workers of a Ray job and trains nothing itself.
        world_size: ranks of the job.
    """

    preprocesses: bool
    merges: bool
    quantizes: bool
    drives: bool
    world_size: int

    @classmethod
    def of(cls, cfg: DictDefault) -> Job:
        """The job that Axolotl's raw configuration belongs to."""
        drives = bool(cfg.use_ray) and "WORLD_SIZE" not in os.environ
        return cls(
            preprocesses=bool(cfg.is_preprocess) or os.environ.get("AXOLOTL_IS_PREPROCESS") == "1",
            merges=bool(cfg.merge_lora),
            quantizes=command() == "quantize",
            drives=drives,
            world_size=int(cfg.ray_num_workers or 1) if drives else cpu_ranks.world_size(),
        )

    @property
    def trains(self) -> bool:
        """Whether it writes into a run's folder."""
        return not (self.preprocesses or self.merges or self.quantizes)
