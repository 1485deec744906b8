"""Exact duplicates: among documents with the same words, the first in source order is kept.

Only a 128-bit hash of each document is compared: among a billion documents the probability of a false match is 10^-21.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import xxhash
from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.scan.text_scan import compiled, scan_of
from kormo_plugins.documents.document import Document

if TYPE_CHECKING:
    import numpy as np

_NOT_WORDS = re.compile(r"[\W_]+")


class ExactDedupParams(Strict):
    """Which documents count as equal."""

    ignore: str = Field(
        default="space",
        pattern="^(nothing|space|punctuation)$",
        description="differences that are ignored: nothing; white space; or white space, punctuation and case",
    )


class ExactDedup:
    """Drops every document whose words are those of an earlier one."""

    VERSION = 1

    def __init__(self, params: ExactDedupParams) -> None:
        self.params = params

    def sign(self, document: Document) -> np.ndarray:
        """128-bit hash of the text; uint64, shape [2]."""
        import numpy as np

        text = document.text
        if self.params.ignore == "space" and compiled(text):
            return np.frombuffer(xxhash.xxh3_128_digest(scan_of(text).one_spaced.data), dtype=np.uint64)
        if self.params.ignore == "space":
            text = " ".join(text.split())
        elif self.params.ignore == "punctuation":
            text = _NOT_WORDS.sub(" ", text).strip().casefold()
        return np.frombuffer(xxhash.xxh3_128_digest(text.encode()), dtype=np.uint64)

    def decide(self, signatures: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Drops all but the first document of each signature."""
        import numpy as np

        decisions = np.zeros(len(signatures), dtype=np.int8)
        keys = np.ascontiguousarray(signatures).view([("high", np.uint64), ("low", np.uint64)]).ravel()
        decisions[np.unique(keys, return_index=True)[1]] = -1
        return decisions, ["exact duplicate"]
