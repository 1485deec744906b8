"""Keeps the best share of a source by a score that an earlier step wrote.

    - {name: educational, model: edu.npz}
    - {name: keep_top, by: educational, share: 0.5}

A fixed threshold selects a different share for every source and model; reports on Korean data therefore filter by rank,
first to the best half and after another classifier to the best 35%. CCNet (arXiv 1911.00359) does the same with
perplexity. Documents without the score are kept. A source in which none has it is refused, unless an earlier step does
write that score (perplexity, where no document is in one of its languages).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.step import MetaUse, Ranking
from kormo_plugins.documents.document import Document

if TYPE_CHECKING:
    import numpy as np


class KeepTopParams(Strict):
    """The score, and the share to keep."""

    by: str = Field(description="key of `meta` with the score (`quality`, `educational`, `toxicity`, `perplexity`)")
    share: float = Field(gt=0, le=1, description="share to keep of the documents that have the score, rounded up")
    lowest: bool = Field(default=False, description="low scores are better (perplexity, toxicity)")

    def reads(self) -> tuple[MetaUse, ...]:
        """The score, without which nothing is dropped."""
        why = "documents without the score are kept, so nothing would be dropped"
        return (MetaUse("by", self.by, why, kind=(int, float), required=True),)


class KeepTop(Ranking):
    """Drops all but the best share; ties are resolved by source order."""

    VERSION = 1

    def __init__(self, params: KeepTopParams) -> None:
        self.params = params

    def sign(self, document: Document) -> np.ndarray:
        """The score, NaN if there is none; float64, shape [1]."""
        import numpy as np

        value = document.meta.get(self.params.by)
        return np.array([float(value) if isinstance(value, int | float) else np.nan])

    def decide(self, signatures: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Drops everything below the share."""
        import numpy as np

        scores = signatures[:, 0] if self.params.lowest else -signatures[:, 0]
        judged = np.flatnonzero(~np.isnan(scores))
        stays = judged[np.argsort(scores[judged], kind="stable")[: int(np.ceil(self.params.share * len(judged)))]]
        decisions = np.full(len(scores), -1, dtype=np.int8)
        decisions[judged] = 0
        decisions[stays] = -1
        return decisions, [f"not among the top {self.params.share:.0%} by {self.params.by}"]
