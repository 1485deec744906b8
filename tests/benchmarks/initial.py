"""The first weights of a model: drawn one after another by one core, and side by side by all of them; same bits.

    python tests/benchmarks/initial.py [--millions 200]

Matrices like those of a layer of the 1B (25 to 50 MB in float32). Wall time, for that is what is waited for.
"""

from __future__ import annotations

import argparse
import json
import os
import time

import torch
from measure import ROOT  # noqa: F401  (puts the repository on the path)

from kormo_plugins.architecture.initialization import draw, draw_all

SHAPES = ((2048, 2048), (6144, 2048), (6144, 2048), (2048, 6144))


def main() -> None:
    """Measures and prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, default=200)
    wanted = 1_000_000 * parser.parse_args().millions
    shapes: dict[str, tuple[int, int]] = {}
    while sum(a * b for a, b in shapes.values()) < wanted:
        shapes[f"layers.{len(shapes)}.weight"] = SHAPES[len(shapes) % len(SHAPES)]
    count = sum(a * b for a, b in shapes.values())

    def make(name: str) -> torch.Tensor:
        return draw(name, shapes[name], seed=1, std=0.02, dtype=torch.bfloat16)

    begin = time.perf_counter()
    one = {name: make(name) for name in shapes}
    middle = time.perf_counter()
    all_cores = draw_all(make, [(name, a * b) for name, (a, b) in shapes.items()])
    end = time.perf_counter()
    assert all(torch.equal(one[name], all_cores[name]) for name in shapes)
    ours, peer = count / (end - middle) / 1e6, count / (middle - begin) / 1e6
    line = {"name": "initial weights", "unit": "M/s", "ours": round(ours, 1), "peer": round(peer, 1)}
    cores = len(os.sched_getaffinity(0))
    print(json.dumps({**line, "peer_name": "one core", "cores": cores, "ratio": round(ours / peer, 2)}))


if __name__ == "__main__":
    main()
