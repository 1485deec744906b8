"""A sample in which every language, and every degree of difficulty, has its share: for supervised fine-tuning.

KORMo's fine-tuning data is "balanced, difficulty-based"; the rule is not published, this one is ours. A document's
cell is its language, the value of a column that says how difficult it is (kept by the reader), or, where no set says,
the length of its reasoning in powers of two, which grows with the difficulty of what is reasoned about. Every cell
gives the same number of documents, as far as it has them; what the small ones lack the large ones make up for. Which
documents of a cell stay is a matter of the hash of their ids.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.step import Ranking
from kormo_plugins.documents.document import Document


class BalancedSampleParams(Strict):
    """How many, and what is balanced."""

    documents: int = Field(ge=1, description="documents that stay, if there are so many")
    column: str | None = Field(default=None, description="kept column with the difficulty; null: length of reasoning")
    languages: bool = Field(default=True, description="balance the languages too")
    seed: int = Field(default=0, ge=0, description="another seed, another sample")


class BalancedSample(Ranking):
    """Drops what is too much of one kind."""

    VERSION = 1

    def __init__(self, params: BalancedSampleParams) -> None:
        self.params = params

    def sign(self, document: Document) -> np.ndarray:
        """The hash of the document's cell, and of its id; uint64, shape [2]."""
        import xxhash

        difficulty = self._difficulty(document)
        cell = f"{document.language if self.params.languages else ''}\0{difficulty}"
        name = document.id.encode("utf-8", "surrogatepass")
        return np.array(
            [xxhash.xxh3_64_intdigest(cell.encode()), xxhash.xxh3_64_intdigest(name, seed=self.params.seed)],
            dtype=np.uint64,
        )

    def _difficulty(self, document: Document) -> str:
        if self.params.column is not None:
            return str(document.meta.get(self.params.column, "none"))
        start, end = document.text.find("<think>"), document.text.rfind("</think>")
        return str((end - start).bit_length() if 0 <= start < end else 0)

    def decide(self, signatures: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Fills the cells evenly, the smallest first."""
        fate = np.zeros(len(signatures), dtype=np.int8)
        cells, counts = np.unique(signatures[:, 0], return_counts=True)
        left = min(self.params.documents, len(signatures))
        for rank, index in enumerate(np.argsort(counts, kind="stable")):
            mine = np.flatnonzero(signatures[:, 0] == cells[index])
            # What remains is divided among the cells that remain; the last ones get the remainder.
            share = min(len(mine), left // (len(cells) - rank))
            fate[mine[np.argsort(signatures[mine, 1], kind="stable")[:share]]] = -1
            left -= share
        return fate, ["more than its share"]
