"""Diversity of a set of texts, for any language written with spaces.

Used by the corpus reports on training data and by the training monitor on generated samples, so that both report the
same measures.

    compression     bytes of the texts over their bytes under zstd: repeated phrases compress well (Shaib et al. 2024,
                    arXiv 2403.00553, find it the best single measure); larger is less diverse
    distinct-n      distinct word n-grams over all word n-grams (Li et al. 2016, arXiv 1510.03055)
    self-BLEU       BLEU of each text against all others (Zhu et al. 2018, arXiv 1802.01886); larger is less diverse

All measures depend on the amount of text: compare only samples of the same size.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import zstandard

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Words, as runs of letters and digits; in Korean an eojeol."""
    return _WORD.findall(text)


def runs(items: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """Counts of all n-grams."""
    return Counter(tuple(items[i : i + n]) for i in range(len(items) - n + 1))


def compression_ratio(texts: Sequence[str]) -> float:
    """Bytes over compressed bytes (zstd, level 3); 1.0 for no text."""
    data = "\n".join(texts).encode()
    return len(data) / len(zstandard.ZstdCompressor(level=3).compress(data)) if data else 1.0


def distinct(texts: Sequence[str], n: int) -> float:
    """Distinct word n-grams over all word n-grams; 1.0 if there are none."""
    total = 0
    different: set[tuple[str, ...]] = set()
    for text in texts:
        hashes = runs(words(text), n)
        total += sum(hashes.values())
        different.update(hashes)
    return len(different) / total if total else 1.0


def self_bleu(texts: Sequence[str], longest: int = 4) -> float:
    """Mean BLEU-4 of each text with all others as its references; 0 for fewer than two texts."""
    counted = [[runs(words(text), n) for n in range(1, longest + 1)] for text in texts]
    lengths = [sum(one[0].values()) for one in counted]
    scores = []
    for i, counts in enumerate(counted):
        other_indices = [j for j in range(len(counted)) if j != i and lengths[j]]
        if not other_indices or lengths[i] < longest:
            continue
        logs = 0.0
        for n in range(longest):
            max_counts: Counter[tuple[str, ...]] = Counter()
            for j in other_indices:
                for run in counts[n].keys() & counted[j][n].keys():
                    max_counts[run] = max(max_counts[run], counted[j][n][run])
            matched = sum(min(count, max_counts[run]) for run, count in counts[n].items())
            # Smoothing where nothing matches (Chen & Cherry 2014, method 1), so that no text scores zero.
            logs += math.log(max(matched, 0.1) / max(1, sum(counts[n].values())))
        closest = min(other_indices, key=lambda j: (abs(lengths[j] - lengths[i]), lengths[j]))
        brevity = min(0.0, 1 - lengths[closest] / lengths[i])
        scores.append(math.exp(brevity + logs / longest))
    return sum(scores) / len(scores) if scores else 0.0
