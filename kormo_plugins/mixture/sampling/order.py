"""Which row is in which slot: keyed permutations that need no memory.

`permute` is a bijection of 0..n-1 for each key. A balanced Feistel network permutes the numbers of 2h bits, for the
smallest h with 4^h >= n; a result outside 0..n-1 is permuted again until it is inside ("cycle walking", Black & Rogaway
2002), fewer than four times on average. Each round mixes one half with the finalizer of SplitMix64 (Steele et al.
2014). The network is a bijection for any rounds; the rounds only make it look random.

`locate` uses it twice: for the slots of a step, so that no rank is given a single source, and for the rows of a source,
with another key in each epoch. Everything is in one file because numba's disk cache tracks changes of one file only.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.store.compiled.functions import njit
from kormo_plugins.store.fingerprint import canonical_json

ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _ONE = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(1)


def key(*parts: str | int) -> np.uint64:
    """A 64-bit key from names and numbers: the first eight bytes of SHA-256 over their canonical JSON."""
    return np.uint64(int.from_bytes(hashlib.sha256(canonical_json(list(parts)).encode()).digest()[:8], "little"))


@njit(inline="always")
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


@njit()
def subkey(key: np.uint64, number: int) -> np.uint64:
    """The key for one of many numbered permutations (an epoch, a step)."""
    return _mix(key + _GOLDEN * (np.uint64(number) + _ONE))


@njit()
def permute(index: int, count: int, key: np.uint64) -> np.int64:
    """Image of `index` under a permutation of 0..count-1; bijective for each key.

    Args:
        index: 0 <= index < count.
        count: from 1 to 2^62.
        key: from `key` or `subkey`.
    """
    half = _ONE
    while (_ONE << (half + half)) < np.uint64(count):
        half += _ONE
    mask = (_ONE << half) - _ONE
    value = np.uint64(index)
    while True:
        left, right = value >> half, value & mask
        for place in range(ROUNDS):
            left, right = right, left ^ (_mix(right + key + _GOLDEN * np.uint64(place)) & mask)
        value = (left << half) | right
        if value < np.uint64(count):
            return np.int64(value)


@njit()
def locate(
    slots: NDArray[np.int64],
    counts: NDArray[np.int64],
    following: NDArray[np.int64],
    rows: NDArray[np.int64],
    keys: NDArray[np.uint64],
    step_key: np.uint64,
    out: NDArray[np.int64],
) -> None:
    """Which row of which source is in each slot of a step.

    Args:
        slots: int64 [n], positions in the global batch.
        counts: int64 [sources], rows before the step.
        following: int64 [sources], rows before the next step.
        rows: int64 [sources], rows of each plan.
        keys: uint64 [sources], keys for the order of each source's rows.
        step_key: key for the order of the slots.
        out: int64 [n, 3], receives source, row and epoch.
    """
    batch = 0
    for source in range(len(counts)):
        batch += following[source] - counts[source]
    for place in range(len(slots)):
        rest = permute(slots[place], batch, step_key)
        source = 0
        while rest >= following[source] - counts[source]:
            rest -= following[source] - counts[source]
            source += 1
        drawn = counts[source] + rest
        epoch = drawn // rows[source]
        out[place, 0], out[place, 2] = source, epoch
        out[place, 1] = permute(drawn % rows[source], rows[source], subkey(keys[source], epoch))
