"""Arrays that grow within compiled code.

By loops: where one slice is assigned to another, numba compiles the message of an error in shape, for ten seconds.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.store.compiled import njit


@njit()
def with_pair(found: np.ndarray, count: int, first: int, second: int) -> np.ndarray:
    """The array with a pair of numbers in row `count`, twice as long where it was full; int64, shape [rows, 2]."""
    if count == len(found):
        more = np.empty((2 * count, 2), dtype=np.int64)
        for i in range(count):
            more[i, 0], more[i, 1] = found[i, 0], found[i, 1]
        found = more
    found[count, 0], found[count, 1] = first, second
    return found


@njit()
def with_number(found: np.ndarray, count: int, number: int) -> np.ndarray:
    """The same for single numbers; int64, shape [rows]."""
    if count == len(found):
        more = np.empty(2 * count, dtype=np.int64)
        for i in range(count):
            more[i] = found[i]
        found = more
    found[count] = number
    return found
