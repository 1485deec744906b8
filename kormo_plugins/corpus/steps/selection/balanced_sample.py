"""A sample balanced over languages and levels of difficulty, for supervised fine-tuning.

KORMo's fine-tuning data is "balanced, difficulty-based"; the rule is not published, this one is ours. A document's cell
is its language together with the value of a difficulty column (kept by the reader), or, if there is none, the length of
its reasoning in powers of two, which grows with the difficulty. Every cell contributes the same number of documents, as
far as it has them; larger cells make up for smaller ones. Documents of a cell are selected by the hash of their ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import xxhash
from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.step import MetaUse, Ranking
from kormo_plugins.documents.document import Document

if TYPE_CHECKING:
    import numpy as np


class BalancedSampleParams(Strict):
    """The sample size, and what is balanced."""

    documents: int = Field(ge=1, description="number of documents to keep; a smaller source is kept whole")
    column: str | None = Field(
        default=None, description="kept column with the difficulty; null: the length of the reasoning"
    )
    languages: bool = Field(default=True, description="balance over languages too")
    seed: int = Field(default=0, ge=0, description="seed of the sample")

    def reads(self) -> tuple[MetaUse, ...]:
        """The column, if one is named."""
        why = "all documents would count as equally difficult, so nothing would be balanced by it"
        return () if self.column is None else (MetaUse("column", self.column, why, required=True),)


class BalancedSample(Ranking):
    """Drops the documents that are not sampled."""

    VERSION = 1

    def __init__(self, params: BalancedSampleParams) -> None:
        self.params = params

    def sign(self, document: Document) -> np.ndarray:
        """Hashes of the document's cell and of its id; uint64, shape [2]."""
        import numpy as np

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
        import numpy as np

        decisions = np.zeros(len(signatures), dtype=np.int8)
        cells, counts = np.unique(signatures[:, 0], return_counts=True)
        remaining = min(self.params.documents, len(signatures))
        for rank, index in enumerate(np.argsort(counts, kind="stable")):
            members = np.flatnonzero(signatures[:, 0] == cells[index])
            # The remaining quota is divided among the remaining cells; the last ones get the remainder.
            share = min(len(members), remaining // (len(cells) - rank))
            decisions[members[np.argsort(signatures[members, 1], kind="stable")[:share]]] = -1
            remaining -= share
        return decisions, ["more than its share"]
