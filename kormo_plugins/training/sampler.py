"""A sampler that starts where the run stopped.

The mixture determines the order of the data (sample i is a pure function of recipe, seed and i), so the sampler only
counts, from `start`. Resuming at step 1,000,000 is therefore as cheap as starting: nothing is read or skipped, whereas
`accelerate.skip_first_batches` iterates over every batch of every rank.
"""

from __future__ import annotations

from collections.abc import Iterator


class OffsetSampler:
    """Yields `start, start + 1, …, length - 1`.

    `len()` stays the length of the whole run: Trainer derives the number of steps from it.

    Args:
        length: samples in the whole run, over all ranks.
        start: first sample, over all ranks; a multiple of the global batch.
    """

    def __init__(self, length: int, start: int = 0) -> None:
        if not 0 <= start <= length:
            raise ValueError(f"start {start} is outside 0..{length}")
        self.length, self.start = length, start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.length))

    def __len__(self) -> int:
        return self.length
