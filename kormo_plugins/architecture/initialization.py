"""The first weights of a model, each one a pure function of (seed, name of the weight).

KORMo draws every linear and embedding weight from N(0, initializer_range²) and sets the norms to 1. Here each
weight has a random stream of its own: Philox, a counter-based generator (Salmon et al. 2011), keyed by the
SHA-256 of seed and name. So the draw does not depend on the order in which weights are made, on how many
files they are split into, on the global random state (which is left alone), on the dtype they are stored in
or on the number of ranks; and a deeper model shares its first layers with a shallower one of the same width.

So weights are drawn side by side, one a core (`draw_all`): numpy draws without holding Python's lock. A single weight
is not divided: the ziggurat method takes now and then more than one random number for a value, so where a value stands
in the stream is known only when those before it are drawn.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Made = TypeVar("Made")


def draw(name: str, shape: tuple[int, ...], *, seed: int, std: float, dtype: torch.dtype) -> torch.Tensor:
    """The initial value of the weight `name`.

    Args:
        name: as in the checkpoint (`model.layers.0.mlp.up_proj.weight`).
        shape: its shape; vectors are norms, matrices are linear or embedding weights.
        seed: seed of the recipe.
        std: standard deviation of the normal.
        dtype: what to round to; the draw itself is fp32.
    """
    import torch

    if len(shape) == 1:
        return torch.ones(shape, dtype=dtype)
    key = hashlib.sha256(f"{seed}:{name}".encode()).digest()[:16]
    stream = np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype="<u8")))
    values = stream.standard_normal(shape, dtype=np.float32)
    values *= np.float32(std)
    return torch.from_numpy(values).to(dtype)


def draw_all(
    make: Callable[[str], Made], shapes: Iterable[tuple[str, int]], threads: int | None = None
) -> dict[str, Made]:
    """Weights by name, drawn by all cores that this process may use, the largest first.

    Args:
        make: gives the weight of a name, whichever thread asks.
        shapes: names, in the order of the result, and their numbers of values.
        threads: how many draw at a time; None: as many as there are cores. The bits do not depend on it.
    """
    sizes = dict(shapes)
    with ThreadPoolExecutor(max_workers=threads or len(os.sched_getaffinity(0))) as pool:
        made = {name: pool.submit(make, name) for name in sorted(sizes, key=lambda name: -sizes[name])}
        return {name: made[name].result() for name in sizes}
