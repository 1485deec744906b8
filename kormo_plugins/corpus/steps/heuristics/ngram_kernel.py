"""The compiled part of `repetition`: n-grams are counted in a hash table instead of being sorted.

Every function takes time in proportion to the words. An n-gram is known by a 64-bit hash, as wide as a sort would use.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.store.compiled import njit

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@njit()
def longer(grams: np.ndarray, ids: np.ndarray, size: int) -> np.ndarray:
    """Hashes of runs of `size` + 1 words.

    Args:
        grams: of runs of `size` words; uint64, shape [words - size + 1].
        ids: number of each word; uint64, shape [words].
    Returns:
        uint64, shape [words - size].
    """
    found = np.empty(max(0, len(grams) - 1), dtype=np.uint64)
    for i in range(len(found)):
        found[i] = (grams[i] * _MULTIPLIER) ^ (grams[i] >> np.uint64(29)) ^ (ids[i + size] + np.uint64(1))
    return found


@njit()
def first_places(grams: np.ndarray) -> np.ndarray:
    """For each n-gram the place where the same one was first; int32, shape of `grams`."""
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
    """Characters in the most frequent n-gram, if it is there more than twice; of several, the one of smallest hash.

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
    """Characters covered by n-grams that came before, each counted once; arguments as of `top`."""
    covered, total = 0, 0  # words before `covered` are counted
    for i, place in enumerate(first_places(grams)):
        if place != i:
            total += starts[i + n] - starts[max(i, covered)]
            covered = i + n
    return total
