"""Prompts in batches of like length, as large as the memory for their keys and values allows.

Rows of a batch are padded to the longest, and every row costs keys and values for its prompt and for its answer. So
prompts are sorted, longest first (a batch that is too large shows at once), and a batch is closed when rows times
length would pass a budget of positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_ROWS = 512
"""Rows of a batch, however short: more gain nothing on the machines that were measured."""


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn.

    Args:
        max_tokens: the longest answer, in tokens.
        temperature: 0 takes the likeliest token each time (greedy).
        top_p: share of probability that is drawn from.
        seed: of the draws; an answer depends on it and on its prompt, not on its batch.
        stop: texts that end an answer, and are not part of it.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()


def batches(lengths: Sequence[int], new: int, positions: int, max_rows: int | None = None) -> Iterator[list[int]]:
    """Places of prompts, batch by batch.

    Args:
        lengths: tokens of each prompt.
        new: tokens of the longest answer.
        positions: keys and values that a batch may hold in all; a batch has one row at least.
        max_rows: rows of a batch; None: `MAX_ROWS`.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    start, limit = 0, max_rows or MAX_ROWS
    while start < len(order):
        rows = max(1, min(limit, positions // (lengths[order[start]] + new)))
        yield order[start : start + rows]
        start += rows
