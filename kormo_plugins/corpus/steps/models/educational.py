"""Educational value: a classifier that writes a score and drops nothing by itself.

FineWeb-Edu (arXiv 2406.17557) and reports on Korean data filter by an educational score; the step `keep_top` filters by
rank. Two scores make a two-stage filter:

    - {name: educational, positive: {path: textbooks.jsonl}, negative: {path: crawl.jsonl}}
    - {name: keep_top, by: educational, share: 0.5}
    - {name: classifier, model: second.bin, threshold: 0}
    - {name: keep_top, by: quality, share: 0.35}
"""

from __future__ import annotations

from pydantic import Field

from kormo_plugins.corpus.steps.models.classifier import Classifier, ClassifierParams


class EducationalParams(ClassifierParams):
    """The classifier's parameters, with a different key of `meta` and no threshold."""

    threshold: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="minimum score of a document that is kept; 0: none is dropped here, and `keep_top` selects",
    )

    def writes(self) -> tuple[str, ...]:
        """The key of `meta` for the score."""
        return ("educational",)


class Educational(Classifier):
    """Writes `meta.educational`, from 0 to 1."""

    VERSION = 1
    SCORE = "educational"
    LOW = "low educational score"
