"""Training throughput: tokens per second, and model FLOPs utilization (MFU).

    MFU = FLOPs per token × tokens per second / (devices × peak FLOP/s)         (`flops.py`; PaLM, appendix B)

Time is the total wall time between two logs, including data loading, logging and saving. Tokens are positions in rows,
including padding, since these are computed too. MFU is omitted if the peak is not known, or if some weights are frozen,
since the formula does not apply.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kormo_plugins.measures.flops import Shape, documents_mean, model_flops_per_token, peak_flops

if TYPE_CHECKING:
    import torch

LLAMA_LIKE = ("llama", "mixtral")
"""Model types of transformers that `flops.py` supports, besides all of ours."""


class Throughput:
    """Speed between logs.

    Args:
        shape: of the model; None: no MFU.
        sequence_len: tokens of a row.
        peak: FLOP/s of all devices together; None: no MFU.
    """

    def __init__(self, shape: Shape | None, sequence_len: int, peak: float | None) -> None:
        self.shape, self.sequence_len, self.peak = shape, sequence_len, peak
        self._since: float | None = None

    def start(self) -> None:
        """Starts the clock, if it is not running."""
        if self._since is None:
            self._since = time.perf_counter()

    def mark(self, tokens: int, mean_position: float | None = None) -> dict[str, float]:
        """Speed since the last mark, for the log.

        Args:
            tokens: computed by all ranks since then.
            mean_position: of the tokens, if positions restart at each document.
        """
        if self._since is None or not tokens:
            return {}
        now = time.perf_counter()
        rate = tokens / max(now - self._since, 1e-9)
        self._since = now
        logs = {"tokens_per_second": round(rate, 1)}
        if self.shape is not None and self.peak:
            context = None if mean_position is None else documents_mean(mean_position)
            per_token = model_flops_per_token(self.shape, self.sequence_len, context)
            logs["mfu"] = round(per_token * rate / self.peak, 4)
        return logs


def shape_of(model: torch.nn.Module) -> Shape | None:
    """The shape of a fully trained model with Llama's architecture; None otherwise."""
    config: Any = getattr(model, "config", None)
    kind = str(getattr(config, "model_type", ""))
    known = kind in LLAMA_LIKE or kind == "kormo" or kind.startswith("kormo_")
    if not known or not all(parameter.requires_grad for parameter in model.parameters()):
        return None
    return Shape.of(config.to_dict())


def peak_of(device: torch.device, compute: str, world_size: int) -> float | None:
    """Peak FLOP/s of `world_size` devices like `device` (a torch.device) for products in `compute`, if known."""
    if device.type != "cuda":
        return None
    import torch

    one = peak_flops(torch.cuda.get_device_name(device), compute)
    return None if one is None else one * world_size
