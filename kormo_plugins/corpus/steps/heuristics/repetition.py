"""Drops repetitive documents: the same lines, or the same words over and over.

Measures and thresholds follow Gopher (Rae et al. 2021, arXiv 2112.11446, table A1): duplicate lines and paragraphs, the
most frequent n-gram for n = 2…4, duplicated n-grams for n = 5…10. In Korean, words are eojeol. Three things differ.
Code is removed before counting; n-grams are not counted in documents of fewer than `min_words` words; and songs, chats
and subtitles are measured by their genre (`genres.py`): without the times and names before their lines, and in verse,
refrains are allowed up to `verse` and n-grams are counted over each distinct line once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.scan.text_scan import character_bits, compiled, scan_of
from kormo_plugins.corpus.steps.heuristics.genres import is_verse, without_stamps
from kormo_plugins.corpus.steps.heuristics.text import lines, prose, words
from kormo_plugins.documents.document import Document, Reject

if TYPE_CHECKING:
    import numpy as np

_GOPHER = "Gopher, table A1"
_REASONS = (
    "",
    "duplicate lines",
    "characters in duplicate lines",
    "duplicate paragraphs",
    "top {}-gram",
    "repeated {}-grams",
)
"""Indexed by the codes of `repetition_kernel`."""


class RepetitionParams(Strict):
    """Maximum shares."""

    RENAMED: ClassVar = {"fewest_words": "min_words"}

    lines: float = Field(default=0.30, gt=0, le=1, description=f"maximum share of duplicate lines ({_GOPHER})")
    line_characters: float = Field(
        default=0.20, gt=0, le=1, description=f"maximum share of characters in duplicate lines ({_GOPHER})"
    )
    paragraphs: float = Field(
        default=0.30, gt=0, le=1, description=f"maximum share of duplicate paragraphs ({_GOPHER})"
    )
    top: tuple[tuple[int, float], ...] = Field(
        default=((2, 0.20), (3, 0.18), (4, 0.16)),
        description=f"(n, maximum share of characters in the most frequent n-gram) ({_GOPHER})",
    )
    repeated: tuple[tuple[int, float], ...] = Field(
        default=((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)),
        description=f"(n, maximum share of characters in n-grams that occurred before) ({_GOPHER})",
    )
    verse: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="maximum of the three shares of lines and paragraphs in songs, poems and chats: documents of "
        "short lines, none of them three times in a row; 0: they are measured like prose (ours)",
    )
    min_words: int = Field(
        default=30, ge=1, description="minimum words of a document for its n-grams to be counted (ours)"
    )


class Repetition:
    """Drops repetitive documents."""

    VERSION = 3

    def __init__(self, params: RepetitionParams) -> None:
        import numpy as np

        self.params = params
        limits = sorted([(*pair, True) for pair in params.top] + [(*pair, False) for pair in params.repeated])
        self.limits = (
            np.array([n for n, _, _ in limits], np.int64),
            np.array([limit for _, limit, _ in limits], np.float64),
            np.array([single for _, _, single in limits], np.bool_),
        )
        self.strictest = min((limit for _, limit in params.repeated), default=0.0)

    def __call__(self, document: Document) -> Document | Reject:
        if compiled(document.text):
            scan = scan_of(document.text).prose
            return self.judged(scan.bare, scan.lines) or document
        text = without_stamps(prose(document.text))
        text_lines = lines(text)
        verse = self.params.verse > 0 and is_verse(text_lines)
        once = words("\n".join(dict.fromkeys(text_lines))) if verse else words(text)
        return self._lines(text_lines, text, self.params.verse if verse else 0.0) or self._ngrams(once) or document

    def judged(self, bare: np.ndarray, line_spans: np.ndarray) -> Reject | None:
        """The same checks by a compiled scan.

        Args:
            bare: code points, uint32, shape [characters].
            line_spans: start and end of its lines that are not empty; int64, shape [lines, 2].
        """
        from kormo_plugins.corpus.scan.kernels import repetition_kernel as of

        params, limits = self.params, self.limits
        bounds = (params.lines, params.line_characters, params.paragraphs, params.verse, self.strictest)
        reason, n = of.judge(bare, character_bits(), line_spans, bounds, params.min_words, *limits)
        return Reject(_REASONS[reason].format(n)) if reason else None

    def _lines(self, text_lines: list[str], text: str, verse: float) -> Reject | None:
        if len(text_lines) < 4:
            return None
        first = set(text_lines)
        if len(first) < (1 - max(self.params.lines, verse)) * len(text_lines):
            return Reject("duplicate lines")
        if sum(map(len, first)) < (1 - max(self.params.line_characters, verse)) * sum(map(len, text_lines)):
            return Reject("characters in duplicate lines")
        paragraphs = [p for p in text.split("\n\n") if p.strip()]
        max_paragraphs = max(self.params.paragraphs, verse)
        if len(paragraphs) > 3 and len(set(paragraphs)) < (1 - max_paragraphs) * len(paragraphs):
            return Reject("duplicate paragraphs")
        return None

    def _ngrams(self, text_words: list[str]) -> Reject | None:
        import numpy as np

        from kormo_plugins.corpus.steps.heuristics.ngram_kernel import longer, repeated, top

        if len(text_words) < self.params.min_words:
            return None
        numbers = {word: number for number, word in enumerate(dict.fromkeys(text_words))}
        if len(numbers) > 0.95 * len(text_words):  # almost no word is repeated, so no n-gram can be
            return None
        ids = np.fromiter(map(numbers.__getitem__, text_words), dtype=np.uint64, count=len(text_words))
        starts = np.concatenate(
            [[0], np.cumsum(np.fromiter(map(len, text_words), dtype=np.int64, count=len(text_words)))]
        )
        total = starts[-1]
        grams, size = ids + np.uint64(1), 1
        for n, limit, single in zip(*(values.tolist() for values in self.limits), strict=True):
            while size < n:
                grams, size = longer(grams, ids, size), size + 1
            if len(grams) < 2:
                break
            share = (top if single else repeated)(grams, starts, n)
            if share > limit * total:
                return Reject(f"top {n}-gram" if single else f"repeated {n}-grams")
            if not single and share <= self.strictest * total:
                break  # what a longer n-gram covers, the shorter ones cover too
        return None
