"""The first weights of a model: drawn one after another by one core, and side by side by all of them; same bits.

    python tests/benchmarks/initial.py [--size 1b] [--layers 2]

The real names and shapes of a size of `recipes/sizes`, in bfloat16; weights are hashed and dropped, so that little
memory is needed. Wall time, for that is what is waited for, and processor time, which a busy machine does not change.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time

import torch
import xxhash
import yaml
from measure import ROOT

from kormo_plugins.architecture.family import KORMO
from kormo_plugins.architecture.initialization import draw, draw_all
from kormo_plugins.plugins.registry import registry


def shapes_of(size: str, layers: int | None) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a size's weights; with a number of layers, of a model of that depth."""
    said = yaml.safe_load((ROOT / "recipes/sizes" / f"{size}.yml").read_text(encoding="utf-8"))
    values = {key: value for key, value in said["kormo"]["architecture"].items() if key != "name"}
    values |= {"num_hidden_layers": layers} if layers else {}
    KORMO.register()
    params = registry().params("architecture", "kormo", values)
    config = KORMO.config(params, vocab_size=125_184, bos_token_id=1, eos_token_id=2, pad_token_id=3)
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}


def main() -> None:
    """Measures and prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1b")
    parser.add_argument("--layers", type=int)
    chosen = parser.parse_args()
    shapes = shapes_of(chosen.size, chosen.layers)

    def make(name: str) -> str:
        weight = draw(name, shapes[name], seed=1, std=0.02, dtype=torch.bfloat16)
        return xxhash.xxh3_128_hexdigest(weight.view(torch.int16).numpy())

    begin, used = time.perf_counter(), time.process_time()
    one = {name: make(name) for name in shapes}
    middle, half = time.perf_counter(), time.process_time()
    several = draw_all(make, [(name, math.prod(shape)) for name, shape in shapes.items()])
    end, all_used = time.perf_counter(), time.process_time()
    assert one == several
    count = sum(map(math.prod, shapes.values()))
    cores = len(os.sched_getaffinity(0))
    print(f"{count:,} values: {middle - begin:.1f} s by one core ({half - used:.1f} s of processor), "
          f"{end - middle:.1f} s by {cores} ({all_used - half:.1f})")  # fmt: skip
    ours, peer = count / (end - middle) / 1e6, count / (middle - begin) / 1e6
    line = {"name": "initial weights", "unit": "M/s", "ours": round(ours, 1), "peer": round(peer, 1)}
    line |= {"per_processor_second": round(count / (half - used) / 1e6, 1)}
    print(json.dumps({**line, "peer_name": "one core", "cores": cores, "ratio": round(ours / peer, 2)}))


if __name__ == "__main__":
    main()
