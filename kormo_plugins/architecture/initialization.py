"""Initial weights, each a pure function of (seed, name of the weight).

KORMo draws every linear and embedding weight from N(0, initializer_range²) and sets the norms to 1. Here each weight
has its own random stream: Philox, a counter-based generator (Salmon et al. 2011), keyed by the SHA-256 of seed and
name. So the values do not depend on the order of creation, the number of files, the global random state (which is not
used), the stored dtype or the number of ranks; and a deeper model shares its first layers with a shallower one of the
same width.

Weights are drawn in parallel, one per core (`draw_all`): numpy releases the GIL while drawing. A single weight is not
split: the ziggurat method sometimes consumes more than one random number per value, so the position of a value in the
stream depends on all values before it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

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
        dtype: of the result; values are drawn in fp32 and rounded.
    """
    import numpy as np
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
    """Draws weights in parallel on all cores available to this process, the largest first.

    Args:
        make: returns the weight of a name; must be thread-safe.
        shapes: names, in the order of the result, and their numbers of values.
        threads: number of threads; None: one per core. The values do not depend on it.
    """
    sizes = dict(shapes)
    with ThreadPoolExecutor(max_workers=threads or len(os.sched_getaffinity(0))) as pool:
        made = {name: pool.submit(make, name) for name in sorted(sizes, key=lambda name: -sizes[name])}
        return {name: made[name].result() for name in sizes}
