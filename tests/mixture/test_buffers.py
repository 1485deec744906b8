"""Memory of a batch is used again only when nothing can see it any more."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from kormo_plugins.mixture.batches import buffers

SHAPE = (16, buffers.SMALLEST // 64)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("keep", [lambda a: a, lambda a: a[3], lambda a: torch.from_numpy(a)[2:4].view(-1)])
def test_memory_in_use_is_never_handed_out(keep: object) -> None:
    kept, written = [], []
    for number in range(12):
        array = buffers.empty(SHAPE)
        array[:] = number
        kept.append(keep(array))  # type: ignore[operator]
        written.append(number)
        if number % 3 == 0:  # some go, in the middle
            place = number // 2
            del kept[place], written[place]
        del array
        gc.collect()
    assert all((view == number).all() for view, number in zip(kept, written, strict=True))


def test_memory_that_nobody_holds_is_used_again() -> None:
    first = buffers.empty(SHAPE)
    place = address(first)
    del first
    again = buffers.empty(SHAPE)
    assert address(again) == place
    assert address(buffers.empty(SHAPE)) != place


def test_what_is_kept_is_bounded() -> None:
    for extra in range(2 * buffers.SIZES):
        many = [buffers.empty((16, SHAPE[1] + extra)) for _ in range(2 * buffers.KEPT)]
        del many
    assert len(buffers._free) <= buffers.SIZES
    assert all(len(blocks) <= buffers.KEPT for blocks in buffers._free.values())
    assert not buffers._held
