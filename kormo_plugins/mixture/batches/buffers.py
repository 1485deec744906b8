"""Memory for batches that is used again once nobody holds it.

A fresh batch of a few megabytes comes from the operating system page by page, and is given back page by page:
at memory speed that costs more than filling it. Here a block returns to a small pool when the array made on
it is gone. Every tensor and every slice made from the array holds the array, so no block is used again while
it can be seen.
"""

from __future__ import annotations

import math
import mmap
import weakref
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1 << 20
"""Bytes below which the allocator is fast by itself."""
KEPT = 12
"""Free blocks kept of one size: three arrays of four batches."""
SIZES = 4
"""Sizes kept; one run has one or two."""

_free: defaultdict[int, list[mmap.mmap]] = defaultdict(list)
_held: dict[int, tuple[weakref.ref[NDArray[np.int64]], mmap.mmap]] = {}


def empty(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """An int64 array of that shape with any contents, like `numpy.empty`."""
    size = 8 * math.prod(shape)
    if size < SMALLEST:
        return np.empty(shape, np.int64)
    blocks = _free[size]
    # not memory of numpy's: a slice holds the last array before something else, and that has to be this one
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
