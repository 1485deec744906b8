"""Does the sample fit? Two limits of the tokenizers library's BPE trainer, checked before it starts.

They hold where that library learns. Where gigabpe does, memory is for the different pieces alone, which are counted
first (`merges`), and counts are of 64 bits.

Memory. The trainer holds every distinct piece of text and, for every pair of tokens, the set of pieces it
occurs in. Measured with tokenizers 0.23 on Korean and English documents: 12 to 15 bytes for each byte of text
above 2 MB. It is killed without a word where that does not fit.

Counts. It counts pairs in 32-bit integers, which wrap around in silence: the most frequent pair becomes the
rarest, and the vocabulary is quietly bad. The count of a pair of longer tokens is at most that of the pair of
bytes at their seam, so the most frequent pair of bytes bounds every count of the whole training, and one
histogram of the text (`sample.py`) tells beforehand whether any can overflow.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.console.machine import free_memory
from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.training.sample import Census, Quota

MEMORY_FACTOR = 16.0
"""Bytes of memory for each byte of text."""
MEMORY_BASE = 150e6
"""Bytes of memory that do not grow with the text: the interpreter, the library, the vocabulary."""
LEARNING_BASE, LEARNING_PIECE, LEARNING_BYTE = 150e6, 200.0, 20.0
"""Bytes of memory that gigabpe takes: in any case, for each different piece, and for each byte of these."""
LARGEST_COUNT = 2**31 - 1
MARGIN = 0.9
"""Part of the largest count that is used: the histogram is of the whole corpus, not of the sample."""


def memory_for(params: TokenizerParams) -> float:
    """Bytes of memory that training may take."""
    return params.memory_gigabytes * 1e9 if params.memory_gigabytes else free_memory()


def check_budget(census: Census, quotas: dict[str, Quota], params: TokenizerParams, counted_here: bool = False) -> None:
    """Refuses a sample that the tokenizers library cannot hold or count; with `counted_here` it need not.

    Raises:
        KormoError: it does not fit; the message names the largest `megabytes` that does.
    """
    if counted_here:
        return
    size = sum(quota.size for quota in quotas.values())
    memory = memory_for(params)
    largest = {
        "memory": max(0.0, memory - MEMORY_BASE) / MEMORY_FACTOR,
        "counts": size * MARGIN * LARGEST_COUNT / max(1.0, largest_pair_count(census, quotas)),
    }
    limit = min(largest, key=lambda name: largest[name])
    if size <= largest[limit]:
        return
    needed = (MEMORY_FACTOR * size + MEMORY_BASE) / 1e9
    where = "allowed" if params.memory_gigabytes else "free"
    reasons = {
        "memory": f"training takes about {needed:.1f} GB of memory, and {memory / 1e9:.1f} GB are {where}",
        "counts": f"the commonest pair of bytes occurs {largest_pair_count(census, quotas):,.0f} times, and "
        f"the trainer's 32-bit counts end at {LARGEST_COUNT:,}",
    }
    fits = int(largest[limit] / 1e5) / 10
    raise KormoError(
        where="tokenizer: megabytes",
        found=f"{params.megabytes:g} ({size / 1e6:,.1f} MB of text were found for it)",
        why=reasons[limit],
        do=f"set megabytes to at most {fits:,.1f}" if fits > 0 else "use a machine with more memory",
    )


def largest_pair_count(census: Census, quotas: dict[str, Quota]) -> float:
    """An upper bound on what the trainer will count: the occurrences of the most frequent pair of bytes."""
    counts = [quota.size / census.size(name) * census.pairs[name] for name, quota in quotas.items()]
    return float(np.sum(counts, axis=0).max())
