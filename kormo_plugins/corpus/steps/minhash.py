"""Near duplicates by MinHash: documents that share most of their runs of words; the first in source order stays.

    words → runs of `ngram` words, hashed → `bands` × `rows` smallest hashes → equal bands make two documents meet
    → those whose signatures agree enough are one cluster (union-find) → the first of each cluster stays

With b bands of r rows, documents that share a share s of their runs meet with probability 1 − (1 − sʳ)ᵇ (Leskovec et
al., Mining of Massive Datasets, ch. 3). FineWeb and datatrove take 14 × 8 over runs of 5 words: a threshold near 0.72.
Changing one word in ten leaves 0.9⁵ = 59% of 5-word runs, s = 0.42: such a copy is met once in a hundred times. Ours
are 28 × 4 over runs of 2 (81% left, s = 0.68, met 998 times in a thousand), and because that also lets strangers meet,
what met is compared: signatures must agree in at least `similarity` of their places. Runs are counted, not only noted
(the second occurrence of a run is another element), else a table of a few words is like any other table.
`ngram: 5, bands: 14, rows: 8, similarity: 0` is datatrove's rule.

The hashes are made straight from UTF-8 bytes by a compiled kernel; they differ from datatrove's, the method does not.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.documents.document import Document


class MinhashDedupParams(Strict):
    """How near is near."""

    ngram: int = Field(default=2, ge=1, le=20, description="words in a run (ours; FineWeb: 5)")
    bands: int = Field(default=28, ge=1, le=256, description="bands; more let more documents meet (ours; FineWeb: 14)")
    rows: int = Field(default=4, ge=1, le=32, description="hashes per band; more let fewer meet (ours; FineWeb: 8)")
    similarity: float = Field(
        default=0.55,
        ge=0,
        le=1,
        description="share of equal hashes from which documents that met are duplicates; 0: "
        "meeting is enough, as in datatrove (ours)",
    )
    fewest_words: int = Field(default=10, ge=1, description="shorter documents are never near duplicates (ours)")
    seed: int = Field(default=1, ge=0, description="of the hash functions (datatrove: 1)")


class MinhashDedup:
    """Drops every document that is near to one before it."""

    VERSION = 1

    def __init__(self, params: MinhashDedupParams) -> None:
        from kormo_plugins.corpus.steps.minhash_kernel import keys

        self.params = params
        self.keys = keys(params.bands * params.rows, params.seed)

    def sign(self, document: Document) -> np.ndarray:
        """The signature: uint32, shape [bands × rows]; all ones for a document that is too short."""
        from kormo_plugins.corpus.steps.minhash_kernel import signature

        data = np.frombuffer(document.text.encode(), dtype=np.uint8)
        return signature(data, self.params.ngram, self.params.fewest_words, *self.keys)

    def decide(self, signatures: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Everything but the first of each cluster goes. Memory: the signatures and 24 bytes per document."""
        from kormo_plugins.corpus.steps.minhash_kernel import clusters

        first = clusters(signatures, self.params.bands, self.params.rows, self.params.similarity)
        fate = np.full(len(signatures), -1, dtype=np.int8)
        fate[first != np.arange(len(first))] = 0
        return fate, ["near duplicate"]
