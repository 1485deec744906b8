"""Reusable memory for batches.

The operating system allocates and frees a new batch of a few megabytes page by page, which costs more than filling it.
Here a block returns to a small pool when the array on it is garbage-collected. Every tensor and slice of the array
keeps a reference to it, so no block is reused while it is accessible.
"""

from __future__ import annotations

import math
import mmap
import weakref
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1 << 20
"""Arrays below this many bytes use the ordinary allocator, which is fast for them."""
KEPT = 12
"""Free blocks kept per size: three arrays of four batches."""
SIZES = 4
"""Number of sizes kept; a run uses one or two."""

_free: defaultdict[int, list[mmap.mmap]] = defaultdict(list)
_held: dict[int, tuple[weakref.ref[NDArray[np.int64]], mmap.mmap]] = {}


def empty(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """An uninitialized int64 array of that shape, like `numpy.empty`."""
    size = 8 * math.prod(shape)
    if size < SMALLEST:
        return np.empty(shape, np.int64)
    blocks = _free[size]
    # Not memory owned by numpy: a slice refers to the last array before a foreign owner, which has to be this one.
    block = blocks.pop() if blocks else mmap.mmap(-1, size)
    array: NDArray[np.int64] = np.ndarray(shape, np.int64, buffer=block)
    gone = weakref.ref(array, _give_back)
    _held[id(gone)] = gone, block
    return array


def _give_back(gone: weakref.ref[NDArray[np.int64]]) -> None:
    block = _held.pop(id(gone))[1]
    blocks = _free[len(block)]
    if len(blocks) < KEPT:
        blocks.append(block)
    while len(_free) > SIZES:
        del _free[next(iter(_free))]
