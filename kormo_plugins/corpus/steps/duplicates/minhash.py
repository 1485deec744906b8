"""Near duplicates by MinHash: documents that share most of their word n-grams; one per cluster is kept.

    words → hashed n-grams of `ngram` words → `bands` × `rows` minimum hashes → documents with an equal band are
    candidates → candidates with similar signatures form a cluster (union-find) → the first, or the preferred, of each
    is kept

With b bands of r rows, documents with n-gram similarity s become candidates with probability 1 − (1 − sʳ)ᵇ (Leskovec et
al., Mining of Massive Datasets, ch. 3). FineWeb and datatrove use 14 × 8 with 5-grams: a threshold near 0.72. Changing
one word in ten leaves 0.9⁵ = 59% of the 5-grams, s = 0.42: such a copy is found once in a hundred times. Ours is 28 × 4
with 2-grams (81% left, s = 0.68, found 998 times in a thousand). Since that also produces false candidates, candidates
are compared: signatures must agree in at least `similarity` of their positions. N-grams are counted (the second
occurrence is a different element), because otherwise all tables of a few words look alike.
`ngram: 5, bands: 14, rows: 8, similarity: 0, short_similarity: 0, numbers_from: 1, whole: true` is datatrove's rule.

Two rules separate texts that are similar in form only. Sixty sums from one template share their words and differ in
their numbers: documents with many numbers therefore have a separate signature of the numbers, which must also agree.
And short texts must agree in a larger share than long ones. Licence headers and menus, which thousands of documents
share, are excluded from the signature (`boilerplate.py`).

A compiled kernel computes the hashes from UTF-8 bytes; the hashes differ from datatrove's, the method is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.scan.text_scan import scan_of
from kormo_plugins.corpus.step import Clustering, MetaUse
from kormo_plugins.corpus.steps.duplicates.boilerplate import without_boilerplate
from kormo_plugins.corpus.steps.duplicates.preferred import Preference, keep_one, rank
from kormo_plugins.documents.document import Document

if TYPE_CHECKING:
    import numpy as np


class MinhashDedupParams(Strict):
    """The similarity threshold, and which copy is kept."""

    RENAMED: ClassVar = {"fewest_words": "min_words"}

    ngram: int = Field(default=2, ge=1, le=20, description="words per n-gram (ours; FineWeb: 5)")
    bands: int = Field(
        default=28,
        ge=1,
        le=256,
        description="number of bands; more bands give more candidate pairs (ours; FineWeb: 14)",
    )
    rows: int = Field(
        default=4, ge=1, le=32, description="hashes per band; more hashes give fewer candidate pairs (ours; FineWeb: 8)"
    )
    similarity: float = Field(
        default=0.57,
        ge=0,
        le=1,
        description="minimum share of equal hashes for a candidate pair to count as duplicates; 0: every candidate "
        "pair does, as in datatrove (ours)",
    )
    short_similarity: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="minimum share for documents of 20 words or fewer, falling to `similarity` at 60 words: in a "
        "short text one changed word can change the meaning (ours); 0: length does not matter",
    )
    numbers_from: float = Field(
        default=0.08,
        ge=0,
        le=1,
        description="numbers per word from which a document is compared by its numbers too: two such documents are "
        "duplicates only if half of their numbers agree; 1: numbers are treated like other words (ours)",
    )
    whole: bool = Field(default=False, description="include licence headers and menus in the signature")
    min_words: int = Field(
        default=10, ge=1, description="minimum words of a document; shorter ones are never near duplicates (ours)"
    )
    prefer: tuple[Preference, ...] = Field(
        default=(),
        description="which copy is kept: `human` before `synthetic`, `newest` (by `meta.date`), `longest`, in the "
        "order given; ties, and by default all, go to the first copy",
    )
    seed: int = Field(default=1, ge=0, description="seed of the hash functions (datatrove: 1)")

    def reads(self) -> tuple[MetaUse, ...]:
        """The date, where the newest copy is kept."""
        why = "`newest` goes by the date, so it would prefer no copy to another"
        return (MetaUse("prefer", "date", why),) if "newest" in self.prefer else ()


class MinhashDedup(Clustering):
    """Drops near duplicates, keeping one document per cluster."""

    VERSION = 2

    def __init__(self, params: MinhashDedupParams) -> None:
        from kormo_plugins.corpus.steps.duplicates.minhash_kernel import NUMBER_PLACES, keys

        self.params = params
        self.keys = keys(params.bands * params.rows, params.seed)
        self.number_keys = keys(NUMBER_PLACES, params.seed + 1)

    @staticmethod
    def prefers(params: object) -> bool:
        """Whether `prefer` is set."""
        return isinstance(params, MinhashDedupParams) and bool(params.prefer)

    def sign(self, document: Document) -> np.ndarray:
        """The signature: uint32, shape [bands × rows + 24 + 2 + len(prefer)]: minimum hashes of the n-grams, all ones
        for a document that is too short; minimum hashes of the numbers; numbers per thousand words; words; the
        document's rank."""
        import numpy as np

        from kormo_plugins.corpus.steps.duplicates.minhash_kernel import numbers, signature

        text = document.text if self.params.whole else without_boilerplate(document.text, self.params.min_words)
        encoded = scan_of(text).utf8 if text is document.text else text.encode()
        data = np.frombuffer(encoded, dtype=np.uint8)
        places, words = signature(data, self.params.ngram, self.params.min_words, *self.keys)
        smallest, count = numbers(data, *self.number_keys)
        share = min(1000, 1000 * count // max(1, words))
        facts = np.array([share, words, *rank(document, self.params.prefer)], np.uint32)
        return np.concatenate((places, smallest, facts))

    def first(self, signature: np.ndarray) -> np.ndarray:
        """The signature with the best possible rank."""
        best = signature.copy()
        best[len(best) - len(self.params.prefer) :] = 0
        return best

    def clusters(self, signatures: np.ndarray) -> np.ndarray:
        """For each document the index of the kept document of its cluster; int64, shape [documents]."""
        from kormo_plugins.corpus.steps.duplicates.minhash_kernel import NUMBER_PLACES, clusters

        share = 1001 if self.params.numbers_from == 1 else round(1000 * self.params.numbers_from)
        short = max(self.params.similarity, self.params.short_similarity)
        bounds = (self.params.similarity, short, share, NUMBER_PLACES // 2)
        first = clusters(signatures, self.params.bands, self.params.rows, bounds)
        return keep_one(first, signatures[:, signatures.shape[1] - len(self.params.prefer) :])

    def decide(self, signatures: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Drops all but one document of each cluster. Memory: the signatures and 24 bytes per document."""
        import numpy as np

        self.stays = stays = self.clusters(signatures)
        decisions = np.full(len(signatures), -1, dtype=np.int8)
        decisions[stays != np.arange(len(stays))] = 0
        return decisions, ["near duplicate"]
