"""Batches of prompts of similar length, as large as the memory for keys and values allows.

Rows of a batch are padded to the longest, and every row needs keys and values for its prompt and its answer. Prompts
are sorted, longest first (so that running out of memory shows immediately), and a batch is closed before rows times
length exceeds a budget of positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_ROWS = 512
"""Maximum rows of a batch: more were not faster on the machines that we measured."""


@dataclass(frozen=True)
class Sampling:
    """Sampling settings.

    Args:
        max_tokens: maximum length of an answer.
        temperature: 0 is greedy decoding.
        top_p: cumulative probability of the tokens that are sampled from.
        seed: of sampling; an answer depends on it and its prompt, not on its batch.
        stop: strings that end an answer; they are removed from it.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()


def batches(lengths: Sequence[int], new: int, positions: int, max_rows: int | None = None) -> Iterator[list[int]]:
    """Indices of prompts, batch by batch.

    Args:
        lengths: tokens of each prompt.
        new: maximum tokens of an answer.
        positions: budget of key and value positions per batch; a batch has at least one row.
        max_rows: maximum rows of a batch; None: `MAX_ROWS`.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    start, limit = 0, max_rows or MAX_ROWS
    while start < len(order):
        rows = max(1, min(limit, positions // (lengths[order[start]] + new)))
        yield order[start : start + rows]
        start += rows
