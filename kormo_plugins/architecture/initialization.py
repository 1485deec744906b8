"""The first weights of a model, each one a pure function of (seed, name of the weight).

KORMo draws every linear and embedding weight from N(0, initializer_range²) and sets the norms to 1. Here each
weight has a random stream of its own: Philox, a counter-based generator (Salmon et al. 2011), keyed by the
SHA-256 of seed and name. So the draw does not depend on the order in which weights are made, on how many
files they are split into, on the global random state (which is left alone), on the dtype they are stored in
or on the number of ranks; and a deeper model shares its first layers with a shallower one of the same width.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


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
