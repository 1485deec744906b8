"""The compiled and shortened ways of the cleaning steps give what the plain ways give, document by document."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.corpus.steps.heuristics.ngram_kernel import longer, repeated, top
from kormo_plugins.corpus.steps.web import errors
from kormo_plugins.documents.document import Document, Reject


def plain_top(grams: np.ndarray, starts: np.ndarray, n: int) -> int:
    _, first, counts = np.unique(grams, return_index=True, return_counts=True)
    best = int(np.argmax(counts))
    return int(counts[best] * (starts[first[best] + n] - starts[first[best]])) if counts[best] >= 3 else 0


def plain_repeated(grams: np.ndarray, starts: np.ndarray, n: int) -> int:
    again = np.ones(len(grams), dtype=bool)
    again[np.unique(grams, return_index=True)[1]] = False
    inside = np.zeros(len(starts) - 1, dtype=bool)
    for place in np.flatnonzero(again):
        inside[place : place + n] = True
    return int(np.diff(starts)[inside].sum())


@settings(deadline=None)  # the first example compiles
@given(words=st.lists(st.integers(0, 4), min_size=12, max_size=120), seed=st.integers(0, 100))
def test_ngrams_are_counted_as_a_sort_counts_them(words: list[int], seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 9, len(words))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.array(words, dtype=np.uint64)
    grams = ids + np.uint64(1)
    for n in range(1, 11):
        assert top(grams, starts, n) == plain_top(grams, starts, n)
        assert repeated(grams, starts, n) == plain_repeated(grams, starts, n)
        with np.errstate(over="ignore"):
            next_grams = (
                (grams[:-1] * np.uint64(0x9E3779B97F4A7C15)) ^ (grams[:-1] >> np.uint64(29)) ^ (ids[n:] + np.uint64(1))
            )
        assert np.array_equal(longer(grams, ids, n), next_grams)
        grams = next_grams


def plain_errors(text: str, params: errors.ErrorsParams) -> str | None:
    """The step without its shortcuts: every line is matched with the patterns."""
    step = errors.Errors(params)
    lines = text.split("\n")
    kept = [line for line in lines if not step._goes(line, list(errors._KEYS))]
    if len(kept) == len(lines):
        return text
    clean = "\n".join(kept).strip()
    return clean if len(clean) >= (1 - params.max_removed) * len(text.strip()) else None


LINES = (
    "로그인이 필요합니다",
    "404 Not Found",
    "   All rights reserved   ",
    "ACCESS DENIED" + " " * 100,
    "오늘은 날씨가 맑아서 산책을 했다. " * 4,
    "그는 로그인을 하지 않았다고 말했다. " * 3,
    "",
    "좋아요 | 공유하기 | 댓글",
    "ΟΔΟΣ",
)


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=12), st.sampled_from([10, 30, 80]))
def test_short_lines_alone_decide_on_error_lines(lines: list[str], longest: int) -> None:
    params = errors.ErrorsParams(max_line_length=longest, max_removed=0.9)
    text = "\n".join(lines)
    result = errors.Errors(params)(Document("a", text))
    assert (None if isinstance(result, Reject) else result.text) == plain_errors(text, params)


@pytest.mark.parametrize("line", LINES)
def test_each_line_by_itself(line: str) -> None:
    params = errors.ErrorsParams()
    result = errors.Errors(params)(Document("a", line))
    assert (None if isinstance(result, Reject) else result.text) == plain_errors(line, params)
