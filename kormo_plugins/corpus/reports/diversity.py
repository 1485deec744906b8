"""Diversity measures of a corpus per generator: does a synthetic source repeat the same content and wording?

KORMo found that training on the text of a single generator collapses, and on that of several does not. Diversity is
therefore measured per generator, and a source dominated by one generator is flagged.

    compression, distinct-n, self-BLEU     see `kormo_plugins/measures/diversity.py`
    seed overlap                           share of a text's 8-word n-grams that occur in its seed document
                                           (`meta.seed`)

All measures depend on the amount of text, so each uses a sample of the same size, selected by the hash of the id.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Any

import xxhash

from kormo_plugins.documents.document import Document
from kormo_plugins.measures.diversity import compression_ratio, distinct, runs, self_bleu, words

SAMPLE_BYTES = 1_000_000
"""Sample size per generator for compression and distinct-n."""
SAMPLE_TEXTS = 60
"""Number of texts compared for self-BLEU."""
DOMINANT = 0.6
"""Share of the synthetic text above which one generator dominates (ours)."""


def sampled(documents: Iterable[Document], size: int = SAMPLE_BYTES) -> list[Document]:
    """A sample of about `size` bytes, selected by the hash of the id, independent of the order of the documents."""

    keep: list[tuple[int, str, Document]] = []
    total = 0
    for document in documents:
        key = xxhash.xxh3_64_intdigest(document.id.encode("utf-8", "surrogatepass"))
        heapq.heappush(keep, (-key, document.id, document))
        total += len(document.text.encode())
        while len(keep) > 1 and total - len(keep[0][2].text.encode()) >= size:
            total -= len(heapq.heappop(keep)[2].text.encode())
    return [document for _, _, document in sorted(keep, reverse=True, key=lambda item: item[:2])]


def seed_overlap(text: str, seed: str, n: int = 8) -> float:
    """Share of the word n-grams of `text` that occur in `seed`."""
    own_runs, source = runs(words(text), n), runs(words(seed), n)
    return sum(count for run, count in own_runs.items() if run in source) / max(1, sum(own_runs.values()))


def by_generator(documents: Iterable[Document]) -> dict[str, dict[str, Any]]:
    """The measures of each generator of a corpus (`human` for text not marked synthetic), its share of the synthetic
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
        if len(group) > 20_000:  # bounded memory: sampling a sample by the same hash gives the same sample
            groups[name] = sampled(group)
    synthetic = sum(size for name, size in sizes.items() if name != "human")
    measures = {}
    for name in sorted(groups):
        chosen = sampled(groups[name])
        texts = [document.text for document in chosen]
        share = sizes[name] / synthetic if name != "human" and synthetic else None
        seeds = [seed_overlap(d.text, str(d.meta["seed"])) for d in chosen if d.meta.get("seed")]
        measures[name] = {
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
    return measures
