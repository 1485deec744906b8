"""Compiled inner loops of the dataset and the collators: fill whole batches directly from the memory maps.

One call fills the rows of a batch: source and row -> segments -> ids and positions. The maps are passed as addresses,
so that any number of sources and shards needs one argument. Each segment is checked against the bounds of its shard and
its row before it is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from kormo_plugins.store.compiled.functions import njit

if TYPE_CHECKING:
    from llvmlite.ir import IRBuilder

IGNORE = -100
"""The label ignored by the loss, in PyTorch and transformers."""


def _as_pointer(typing_context: object, address: object) -> object:
    """Converts an integer to a pointer."""
    del typing_context

    def generate(context: object, builder: IRBuilder, signature: object, arguments: Any) -> object:
        """The LLVM code of the conversion."""
        del context, signature
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


_pointer: Any = intrinsic(_as_pointer)


@njit()
def _plan(plans: NDArray[np.int64], source: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
    """The three maps of a source's row plan: start of each row, and start and length of each segment."""
    begins = carray(_pointer(plans[source, 0]), plans[source, 3] + 1, np.int64)
    starts = carray(_pointer(plans[source, 1]), plans[source, 4], np.int64)
    lengths = carray(_pointer(plans[source, 2]), plans[source, 4], np.uint32)
    return begins, starts, lengths


@njit()
def _shard_at(shard_from: NDArray[np.int64], shards: NDArray[np.int64], source: int, start: int) -> int:
    """The last shard of a source that begins at or before the token `start`; the first one if there is none."""
    low, high = shard_from[source], shard_from[source + 1] - 1
    while low < high:
        middle = (low + high + 1) // 2
        if shards[middle, 0] <= start:
            low = middle
        else:
            high = middle - 1
    return low


@njit()
def fill_rows(
    chosen: NDArray[np.int64],
    plans: NDArray[np.int64],
    shard_from: NDArray[np.int64],
    shards: NDArray[np.int64],
    kind: NDArray[np.integer],
    pad_id: int,
    ids: NDArray[np.int64],
    positions: NDArray[np.int64],
    filled: NDArray[np.int64],
) -> int:
    """Copies rows from the maps.

    Args:
        chosen: int64 [n, 3], source, row and epoch of each.
        plans: int64 [sources, 5]: addresses of the row plan's row starts, segment starts and lengths; rows; segments.
        shard_from: int64 [sources + 1], where the shards of each source begin in `shards`.
        shards: int64 [shards, 4]: position of the first token and of the one after the last, address of the ids, and
            address of the loss mask (0: none).
        kind: an empty array with the ids' dtype.
        pad_id: fills the unused rest of a row.
        ids, positions: int64 [n, row_length], receive the tokens and their positions in their segments. The padding
            counts as one more segment.
        filled: int64 [n], receives the number of tokens of each row.
    Returns:
        -1, or the first index in `chosen` whose plan points outside its shard or row.
    """
    length = ids.shape[1]
    for place in range(len(chosen)):
        source, row = chosen[place, 0], chosen[place, 1]
        begins, starts, lengths = _plan(plans, source)
        if not 0 <= row < plans[source, 3] or not 0 <= begins[row] <= begins[row + 1] <= plans[source, 4]:
            return place
        used = 0
        for segment in range(begins[row], begins[row + 1]):
            start, count = starts[segment], int(lengths[segment])
            low = _shard_at(shard_from, shards, source, start)
            if start < shards[low, 0] or start + count > shards[low, 1] or used + count > length:
                return place
            tokens = carray(_pointer(shards[low, 2]), shards[low, 1] - shards[low, 0], kind.dtype)
            offset = start - shards[low, 0]
            for token in range(count):
                ids[place, used + token] = tokens[offset + token]
            for token in range(count):
                positions[place, used + token] = token
            used += count
        for token in range(used, length):
            ids[place, token] = pad_id
            positions[place, token] = token - used
        filled[place] = used
    return -1


@njit()
def fill_trained(
    chosen: NDArray[np.int64],
    plans: NDArray[np.int64],
    shard_from: NDArray[np.int64],
    shards: NDArray[np.int64],
    trained: NDArray[np.uint8],
) -> None:
    """Copies loss masks from the maps, for rows that `fill_rows` has checked; arguments as for `fill_rows`.

    Args:
        trained: uint8 [n, row_length], receives 1 for each predicted token. Without a mask every token of a source is
            predicted; padding is 0.
    """
    for place in range(len(chosen)):
        source, row = chosen[place, 0], chosen[place, 1]
        begins, starts, lengths = _plan(plans, source)
        used = 0
        for segment in range(begins[row], begins[row + 1]):
            start, count = starts[segment], int(lengths[segment])
            low = _shard_at(shard_from, shards, source, start)
            if shards[low, 3]:
                mask = carray(_pointer(shards[low, 3]), shards[low, 1] - shards[low, 0], np.uint8)
                offset = start - shards[low, 0]
                for token in range(count):
                    trained[place, used + token] = mask[offset + token]
            else:
                trained[place, used : used + count] = 1
            used += count
        trained[place, used:] = 0


@njit()
def fill_labels(
    ids: NDArray[np.int64],
    positions: NDArray[np.int64],
    filled: NDArray[np.int64],
    predict_first: bool,
    ignore: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> None:
    """Labels of a batch, aligned with the ids (models shift them).

    Args:
        ids, positions, labels: int64 [n, row_length].
        filled: int64 [n], tokens of each row; the rest is padding and ignored.
        predict_first: whether the first token of a segment is predicted from the one before it.
        ignore: int64 [k], ids excluded from the loss.
    """
    for row in range(ids.shape[0]):
        for place in range(filled[row]):
            labels[row, place] = ids[row, place]
        labels[row, filled[row] :] = IGNORE
        if not predict_first:
            last = filled[row] - 1
            while last >= 0:  # iterates over segments, using the position of each one's last token
                first = last - max(positions[row, last], 0)
                labels[row, first] = IGNORE
                last = first - 1
        for token in ignore:
            for place in range(filled[row]):
                if ids[row, place] == token:
                    labels[row, place] = IGNORE
