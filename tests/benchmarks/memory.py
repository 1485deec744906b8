"""The memory model of `kormo recipe plan` beside the tensors of real training steps, at three sizes.

    python tests/benchmarks/memory.py

Every part of `kormo_plugins/recipe/cost/memory.py` that a CPU can show, in float32, in bfloat16 and in bfloat16
autocast, with and without gradient checkpointing. The last line is JSON: predicted bytes over
measured bytes, smallest and largest over all steps.
"""

from __future__ import annotations

import json

from measure import ROOT  # noqa: F401  (puts the repository on the path)

from kormo_plugins.recipe.cost.memory import memory
from tests.recipe.real_step import measure, setup, sizes

MODELS = {
    "1.6M": (sizes(128, 512, 4, 4, 1, 32, 2560), 8, 256),
    "5.6M": (sizes(192, 768, 6, 6, 2, 32, 6144), 4, 256),
    "27M": (sizes(384, 1536, 8, 6, 2, 64, 12288), 2, 512),
}
PRECISIONS = (("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "bfloat16"))


def main() -> None:
    """Prints a table and the JSON line."""
    parts = ("weights", "gradients", "optimizer", "activations", "total")
    print(f"{'model':6} {'weights':9} {'compute':9} {'checkpointing':14}" + "".join(f"{part:>22}" for part in parts))
    ratios: dict[str, list[float]] = {part: [] for part in parts}
    for name, (model, rows, length) in MODELS.items():
        for weights, compute in PRECISIONS:
            for checkpointing in (False, True):
                step = setup(model, rows, length, weights, compute, checkpointing)
                found, told = measure(model, rows, length, weights, compute, checkpointing), memory(step)
                cells = []
                for part in parts:
                    if part == "activations" and checkpointing:  # saved outside of autograd's own hooks: see total
                        cells.append(f"{'':>22}")
                        continue
                    ratio = getattr(told, part) / found[part]
                    ratios[part].append(ratio)
                    cells.append(f"{getattr(told, part) / 1e6:9.1f}/{found[part] / 1e6:<7.1f}{ratio:5.2f}")
                print(f"{name:6} {weights:9} {compute:9} {checkpointing!s:14}" + "".join(cells), flush=True)
    spans = {part: [round(min(values), 4), round(max(values), 4)] for part, values in ratios.items()}
    print(json.dumps({"name": "memory model", "unit": "predicted / measured", **spans}))


if __name__ == "__main__":
    main()
