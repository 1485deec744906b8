"""How various a set of texts is, as numbers: does a synthetic source say the same thing in the same words?

KORMo's finding is that training on one generator's text alone collapses, and on several does not. So diversity is
measured per generator, and a source in which one generator dominates is pointed out.

    compression     bytes of the texts over their bytes under zstd: repeated phrases are what it saves (Shaib et al.
                    2024, arXiv 2403.00553, find it the best single number); larger is poorer
    distinct-n      different runs of n words over all runs of n words (Li et al. 2016, arXiv 1510.03055)
    self-BLEU       how well each text is predicted by the others (Zhu et al. 2018, arXiv 1802.01886); larger is poorer
    seed overlap    share of a text's runs of 8 words that stand in its seed document (`meta.seed`)

All numbers depend on the amount of text, so each is taken on a sample of the same size, chosen by the hash of the id.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from kormo_plugins.documents import Document

SAMPLE_BYTES = 1_000_000
"""Text per generator that compression and distinct-n are measured on."""
SAMPLE_TEXTS = 60
"""Texts that self-BLEU compares with each other."""
DOMINANT = 0.6
"""Share of the synthetic text from which one generator dominates (ours)."""
_WORD = re.compile(r"\w+")


def sampled(documents: Iterable[Document], size: int = SAMPLE_BYTES) -> list[Document]:
    """Documents of about `size` bytes in all, chosen by the hash of their id; the same in whatever order they come."""
    import heapq

    import xxhash

    keep: list[tuple[int, str, Document]] = []
    total = 0
    for document in documents:
        key = xxhash.xxh3_64_intdigest(document.id.encode("utf-8", "surrogatepass"))
        heapq.heappush(keep, (-key, document.id, document))
        total += len(document.text.encode())
        while len(keep) > 1 and total - len(keep[0][2].text.encode()) >= size:
            total -= len(heapq.heappop(keep)[2].text.encode())
    return [document for _, _, document in sorted(keep, reverse=True, key=lambda item: item[:2])]


def compression_ratio(texts: Sequence[str]) -> float:
    """Bytes over bytes compressed (zstd, level 3); 1.0 for no text."""
    import zstandard

    data = "\n".join(texts).encode()
    return len(data) / len(zstandard.ZstdCompressor(level=3).compress(data)) if data else 1.0


def distinct(texts: Sequence[str], n: int) -> float:
    """Different runs of n words over all runs of n words; 1.0 where there is none."""
    total, different = 0, set()
    for text in texts:
        words = _WORD.findall(text)
        runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        total += len(runs)
        different.update(runs)
    return len(different) / total if total else 1.0


def self_bleu(texts: Sequence[str], longest: int = 4) -> float:
    """Mean BLEU-4 of each text with all others as its references; 0 for fewer than two texts."""
    counted = [[_runs(_WORD.findall(text), n) for n in range(1, longest + 1)] for text in texts]
    lengths = [sum(runs[0].values()) for runs in counted]
    scores = []
    for i, mine in enumerate(counted):
        others = [j for j in range(len(counted)) if j != i and lengths[j]]
        if not others or lengths[i] < longest:
            continue
        logs = 0.0
        for n in range(longest):
            most: Counter[tuple[str, ...]] = Counter()
            for j in others:
                for run in mine[n].keys() & counted[j][n].keys():
                    most[run] = max(most[run], counted[j][n][run])
            matched = sum(min(count, most[run]) for run, count in mine[n].items())
            # Without a match the smallest that could be (Chen & Cherry 2014, method 1), so that no text counts as zero.
            logs += math.log(max(matched, 0.1) / max(1, sum(mine[n].values())))
        closest = min(others, key=lambda j: (abs(lengths[j] - lengths[i]), lengths[j]))
        brevity = min(0.0, 1 - lengths[closest] / lengths[i])
        scores.append(math.exp(brevity + logs / longest))
    return sum(scores) / len(scores) if scores else 0.0


def _runs(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def seed_overlap(text: str, seed: str, n: int = 8) -> float:
    """Share of the runs of n words of `text` that stand in `seed`."""
    runs = _runs(_WORD.findall(text), n)
    source = _runs(_WORD.findall(seed), n)
    return sum(count for run, count in runs.items() if run in source) / max(1, sum(runs.values()))


def by_generator(documents: Iterable[Document]) -> dict[str, dict[str, Any]]:
    """The numbers of each generator of a corpus (`human` for what no machine wrote), its share of the synthetic
    bytes, and whether it dominates."""
    groups: dict[str, list[Document]] = {}
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for document in documents:
        name = (document.generator or "unknown") if document.synthetic else "human"
        sizes[name] += len(document.text.encode())
        counts[name] += 1
        group = groups.setdefault(name, [])
        group.append(document)
        if len(group) > 20_000:  # bounded memory: the sample of a sample by the same hash is the same sample
            groups[name] = sampled(group)
    synthetic = sum(size for name, size in sizes.items() if name != "human")
    found = {}
    for name in sorted(groups):
        chosen = sampled(groups[name])
        texts = [document.text for document in chosen]
        share = sizes[name] / synthetic if name != "human" and synthetic else None
        seeds = [seed_overlap(d.text, str(d.meta["seed"])) for d in chosen if d.meta.get("seed")]
        found[name] = {
            "documents": counts[name],
            "bytes": sizes[name],
            "compression": round(compression_ratio(texts), 3),
            "distinct_2": round(distinct(texts, 2), 4),
            "distinct_4": round(distinct(texts, 4), 4),
            "self_bleu": round(self_bleu(texts[:SAMPLE_TEXTS]), 4),
            "seed_overlap": round(sum(seeds) / len(seeds), 4) if seeds else None,
            "share_of_synthetic": None if share is None else round(share, 4),
            "dominates": share is not None and share >= DOMINANT,
        }
    return found
