"""Checks that the sample fits: two limits of the tokenizers library's BPE trainer, checked before it starts.

They apply only if that library trains. With gigabpe, memory is needed only for the distinct pieces, which are counted
first (`merges`), and counters have 64 bits.

Memory. The trainer holds every distinct piece of text and, for every token pair, the set of pieces that contain it.
Measured with tokenizers 0.23 on Korean and English documents: 12 to 15 bytes per byte of text above 2 MB. If that does
not fit, the process is killed without a message.

Counters. Pairs are counted in 32-bit integers, which silently wrap around: the most frequent pair becomes the rarest,
and the vocabulary degrades. A pair of longer tokens occurs at most as often as the byte pair at their boundary, so the
most frequent byte pair bounds every count of the training, and a byte pair histogram of the text (`sample.py`) tells in
advance whether any counter can overflow.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.console.machine import free_memory
from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.training.sample import Census, Quota

MEMORY_FACTOR = 16.0
"""Bytes of memory per byte of text."""
MEMORY_BASE = 150e6
"""Bytes of memory independent of the text: the interpreter, the library, the vocabulary."""
LEARNING_BASE, LEARNING_PIECE, LEARNING_BYTE = 150e6, 200.0, 20.0
"""Memory of gigabpe in bytes: constant, per distinct piece, and per byte of distinct pieces."""
EXTERNAL_BASE, EXTERNAL_LEAST = 300e6, 400e6
"""Memory of learning from pieces on disk in bytes: constant, and the least that makes sense."""
LARGEST_COUNT = 2**31 - 1
MARGIN = 0.9
"""Safety factor on the largest count: the histogram covers the whole corpus, not the sample."""


def memory_for(params: TokenizerParams) -> float:
    """Bytes of memory that training may take."""
    return params.memory_gigabytes * 1e9 if params.memory_gigabytes else free_memory()


def gigabpe_memory(pieces: int, size: int) -> float:
    """Bytes of memory that gigabpe needs for distinct pieces of `size` bytes in total."""
    return LEARNING_BASE + LEARNING_PIECE * pieces + LEARNING_BYTE * size


def library_refusal(census: Census, quotas: dict[str, Quota], params: TokenizerParams) -> KormoError | None:
    """Why the tokenizers library cannot hold or count a sample, with the largest `megabytes` that it can; or None."""
    size = sum(quota.size for quota in quotas.values())
    memory = memory_for(params)
    largest = {
        "memory": max(0.0, memory - MEMORY_BASE) / MEMORY_FACTOR,
        "counts": size * MARGIN * LARGEST_COUNT / max(1.0, largest_pair_count(census, quotas)),
    }
    limit = min(largest, key=lambda name: largest[name])
    if size <= largest[limit]:
        return None
    needed = (MEMORY_FACTOR * size + MEMORY_BASE) / 1e9
    where = "allowed" if params.memory_gigabytes else "free"
    reasons = {
        "memory": f"training takes about {needed:.1f} GB of memory, and {memory / 1e9:.1f} GB are {where}",
        "counts": f"the most frequent byte pair occurs {largest_pair_count(census, quotas):,.0f} times, and "
        f"the trainer's 32-bit counters hold at most {LARGEST_COUNT:,}",
    }
    fits = int(largest[limit] / 1e5) / 10
    return KormoError(
        where="tokenizer: megabytes",
        found=f"{params.megabytes:g} ({size / 1e6:,.1f} MB of text are available)",
        why=reasons[limit],
        do=f"set megabytes to at most {fits:,.1f}" if fits > 0 else "use a machine with more memory",
    )


def largest_pair_count(census: Census, quotas: dict[str, Quota]) -> float:
    """Upper bound on any count of the trainer: the occurrences of the most frequent byte pair."""
    counts = [quota.size / census.size(name) * census.pairs[name] for name, quota in quotas.items()]
    return float(np.sum(counts, axis=0).max())
