"""The document of any token is found, whatever the lengths."""

from __future__ import annotations

import numpy as np
import pytest

from kormo_plugins.shards.reader import last_at_most

RNG = np.random.default_rng(0)
LENGTHS = {
    "equal": np.full(5000, 7),
    "heavy": RNG.lognormal(3, 3, 20_000).astype(int),
    "ascending": np.arange(4000) ** 2,
    "mostly empty": (RNG.random(30_000) < 0.001) * 1000,
    "one": np.array([9]),
    "one long one": np.array([1] * 3000 + [10**12] + [1] * 3000),
}


class Counting(np.ndarray):
    """Counts how often single places are looked at."""

    looks = 0

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        if not isinstance(place, slice):
            Counting.looks += 1
        return super().__getitem__(place)


@pytest.mark.parametrize("kind", LENGTHS)
def test_every_token_finds_its_document(kind: str) -> None:
    offsets = np.concatenate([[0], np.cumsum(LENGTHS[kind])]).astype(np.int64)
    edges = np.unique(np.concatenate([offsets, offsets - 1, RNG.integers(0, offsets[-1], 500)]))
    for value in edges[(edges >= 0) & (edges < offsets[-1])][:: max(1, len(edges) // 3000)].tolist():
        assert last_at_most(offsets, value) == np.searchsorted(offsets, value, "right") - 1


def test_few_places_are_looked_at() -> None:
    lengths = RNG.lognormal(7, 1.2, 3_000_000).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).view(Counting)
    Counting.looks = 0
    for value in RNG.integers(0, int(offsets[-1]), 300).tolist():
        last_at_most(offsets, value)
    assert Counting.looks / 300 < 20
