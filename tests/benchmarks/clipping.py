"""Clipping and an AdamW step: in torch's fused step, and as a pass over the gradients before the same step.

    python tests/benchmarks/clipping.py [--millions 40] [--turns 15]

Both take the norm, both by turns in one process, float32 parameters and gradients of a norm above the bound. Processor
time of one thread. What a step reads and writes of memory is bounded below by four bytes a value: the norm reads 4, the
step reads 16 and writes 12; the pass reads and writes 8 more, the fused step writes 4 more.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from measure import result

from kormo_plugins.training.clipping import FusedClipping

SIDE = 2048


def main() -> None:
    """Prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=int, default=40, help="parameters")
    parser.add_argument("--turns", type=int, default=15)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    count = max(1, round(chosen.millions * 1e6 / SIDE**2))
    weights = [torch.nn.Parameter(torch.randn(SIDE, SIDE)) for _ in range(count)]
    given = [torch.randn(SIDE, SIDE) for _ in weights]
    optimizer = torch.optim.AdamW(weights, lr=1e-4, betas=(0.9, 0.95), fused=True)
    clipping = FusedClipping(optimizer)
    ways: dict[str, Callable[[], object]] = {
        "step": lambda: clipping.clip(weights, 1.0),
        "pass": lambda: torch.nn.utils.clip_grad_norm_(weights, 1.0),
        "none": lambda: None,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(chosen.turns + 2):
        for name, clip in ways.items():
            for weight, gradient in zip(weights, given, strict=True):
                weight.grad = gradient.clone()
            begin = time.process_time()
            clip()
            optimizer.step()
            times[name].append(time.process_time() - begin)
    ms = {name: 1e3 * statistics.median(values[2:]) for name, values in times.items()}
    size = count * SIDE**2 / 1e6
    print(f"{size:.0f} million parameters: {ms['step']:.1f} ms clipped in the step, {ms['pass']:.1f} ms with a pass, "
          f"{ms['none']:.1f} ms without clipping")  # fmt: skip
    result("clipping", "M parameters/s", size / ms["step"] * 1e3, size / ms["pass"] * 1e3, "a pass before the step")


if __name__ == "__main__":
    main()
