"""The compiled part of `repetition`: counts n-grams in a hash table instead of sorting them.

Every function takes linear time in the number of words. N-grams are identified by 64-bit hashes.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.store.compiled.functions import njit

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@njit()
def longer(grams: np.ndarray, ids: np.ndarray, size: int) -> np.ndarray:
    """Extends n-gram hashes by one word.

    Args:
        grams: hashes of n-grams of `size` words; uint64, shape [words - size + 1].
        ids: id of each word; uint64, shape [words].
    Returns:
        uint64, shape [words - size].
    """
    found = np.empty(max(0, len(grams) - 1), dtype=np.uint64)
    for i in range(len(found)):
        found[i] = (grams[i] * _MULTIPLIER) ^ (grams[i] >> np.uint64(29)) ^ (ids[i + size] + np.uint64(1))
    return found


@njit()
def first_places(grams: np.ndarray) -> np.ndarray:
    """For each n-gram the index of its first occurrence; int32, shape of `grams`."""
    bits = 1
    while (1 << bits) < 2 * len(grams):
        bits += 1
    mask, shift = (1 << bits) - 1, np.uint64(64 - bits)
    table = np.full(1 << bits, -1, dtype=np.int32)
    first = np.empty(len(grams), dtype=np.int32)
    for i in range(len(grams)):
        slot = np.int64((grams[i] * _MULTIPLIER) >> shift)
        while table[slot] >= 0 and grams[table[slot]] != grams[i]:
            slot = (slot + 1) & mask
        if table[slot] < 0:
            table[slot] = i
        first[i] = table[slot]
    return first


@njit()
def top(grams: np.ndarray, starts: np.ndarray, n: int) -> int:
    """Characters in the most frequent n-gram, if it occurs more than twice; ties go to the smallest hash.

    Args:
        grams: uint64, shape [words - n + 1].
        starts: characters before each word; int64, shape [words + 1].
    """
    counts = np.zeros(len(grams), dtype=np.int32)
    best = 0
    for place in first_places(grams):
        counts[place] += 1
        if counts[place] > counts[best] or (counts[place] == counts[best] and grams[place] < grams[best]):
            best = place
    if counts[best] < 3:
        return 0
    return counts[best] * (starts[best + n] - starts[best])


@njit()
def repeated(grams: np.ndarray, starts: np.ndarray, n: int) -> int:
    """Characters covered by n-grams that occurred before, each counted once; arguments as for `top`."""
    covered, total = 0, 0  # words before `covered` have been counted
    for i, place in enumerate(first_places(grams)):
        if place != i:
            total += starts[i + n] - starts[max(i, covered)]
            covered = i + n
    return total
