"""Keyed randomness: a stream for every document, from its name alone.

Only `random.Random.random()` is used: the one method whose sequence Python promises never to change.
`hash()` is salted per process and is never used.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def key(*parts: object) -> int:
    """128 bits from a name of any parts (BLAKE2b)."""
    return int.from_bytes(hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).digest(), "big")


class KeyedRandom:
    """Random draws that depend on nothing but the name they were made with."""

    __slots__ = ("uniform",)

    def __init__(self, *parts: object) -> None:
        self.uniform = random.Random(key(*parts)).random
        """A float in [0, 1)."""

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.uniform() * len(items))]

    def below(self, bound: int) -> int:
        """An integer in [0, bound)."""
        return int(self.uniform() * bound)

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high], both included."""
        return low + int(self.uniform() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self.uniform() < probability

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items (all of them, if there are fewer), in drawn order: Fisher-Yates."""
        pool = list(items)
        count = min(count, len(pool))
        for i in range(count):
            j = i + self.below(len(pool) - i)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:count]

    def take(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items, each drawn from those that are left, whose order is kept; fewer are an error.

        Other items than `some` draws from the same name: those of the mini suite are fixed by it.
        """
        pool = list(items)
        return [pool.pop(self.below(len(pool))) for _ in range(count)]
