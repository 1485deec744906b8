"""No token is lost and none comes twice, whatever the documents and the policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.row_plans.packing import (
    CARRIED_SHARE,
    BestFitParams,
    ConcatParams,
    Packing,
    best_fit,
    concat,
    fill,
)
from kormo_plugins.mixture.row_plans.rows import Rows, build_rows
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.shards.reader import Shards

from .made_sources import write_source

POLICIES = [
    ("best_fit", {}),
    ("best_fit", {"longer": "drop"}),
    ("concat", {}),
    ("concat", {"drop_tail": True}),
    ("pad", {}),
    ("pad", {"longer": "drop"}),
]


def random_lengths(rng: np.random.Generator) -> list[int]:
    """Up to 60 documents: empty ones, of one token, of a row, a row and one token, some very long."""
    row = int(rng.choice([2, 3, 16, 100, 4096]))
    kinds = [0, 1, 2, row - 1, row, row + 1, 2 * row, 3 * row + 1]
    count = int(rng.integers(1, 60))
    lengths = [int(rng.choice(kinds)) if rng.random() < 0.4 else int(rng.integers(0, 4 * row)) for _ in range(count)]
    if rng.random() < 0.05:
        lengths[0] = 1_000_000
    return [*lengths, 1] if not sum(lengths) else lengths


def check_corpus(folder: Path, number: int) -> None:
    rng = np.random.default_rng(number)
    lengths, row_length = random_lengths(rng), int(rng.choice([2, 5, 64, 1000, 4096]))
    policy, params = POLICIES[number % len(POLICIES)]
    shards = write_source(folder / "shards", lengths, shards=int(rng.integers(1, 4)), seed=number)
    window = int(rng.choice([1, 3, 10, 1000]))
    stats = build_rows(shards, row_length, policy, params, folder / "rows", window=window)
    source = Shards(shards)
    plan = Rows(folder / "rows", source)
    assert stats["tokens"] == source.tokens == sum(lengths) == stats["tokens_placed"] + stats["tokens_dropped"]
    taken = np.zeros(source.tokens, np.int64)
    for start, length in zip(plan.start, plan.length, strict=True):
        taken[start : start + int(length)] += 1
    assert taken.max(initial=0) <= 1, "a token lies in two rows"
    assert taken.sum() == stats["tokens_placed"]
    assert [sum(n for _, n in plan.segments(row)) <= row_length for row in range(plan.rows)].count(False) == 0
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    dropped = {n for n in range(len(lengths)) if (taken[bounds[n] : bounds[n + 1]] == 0).any()}
    if params == {"longer": "drop"}:
        assert dropped == {n for n, length in enumerate(lengths) if length > row_length}
    elif params == {"drop_tail": True}:
        assert stats["tokens_dropped"] == sum(lengths) % row_length
    else:
        assert stats["tokens_dropped"] == 0
    if policy == "best_fit":  # only a document longer than a row is cut
        for row in range(plan.rows):
            for document, start, end in plan.pieces(row):
                assert lengths[document] > row_length or (start, end) == (0, lengths[document])


@pytest.mark.parametrize("block", range(5))
def test_every_token_is_placed_once_or_declared_dropped(tmp_path: Path, block: int) -> None:
    for number in range(20 * block, 20 * block + 20):
        check_corpus(tmp_path / str(number), number)


@pytest.mark.soak
@pytest.mark.parametrize("block", range(19))
def test_every_token_is_placed_once_or_declared_dropped_at_length(tmp_path: Path, block: int) -> None:
    for number in range(100 + 100 * block, 200 + 100 * block):
        check_corpus(tmp_path / str(number), number)


def naive_best_fit(lengths: list[int], row_length: int) -> int:
    """Rows that best-fit-decreasing needs, by the definition."""
    free: list[int] = []
    for length in sorted(lengths, reverse=True):
        fits = [room for room in free if room >= length]
        if fits:
            free[free.index(min(fits))] -= length
        else:
            free.append(row_length - length)
    return len(free)


def test_best_fit_is_best_fit_decreasing() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        row_length = int(rng.choice([7, 64, 65, 4097]))
        lengths = rng.integers(1, row_length + 1, int(rng.integers(1, 200)))
        packing = best_fit(lengths, row_length, BestFitParams())
        sizes = packing.end - packing.start
        free = row_length - np.add.reduceat(sizes, packing.rows[:-1])
        assert len(free) == naive_best_fit(lengths.tolist(), row_length)
        assert (np.diff(free) >= 0).all()


def test_best_fit_fills_rows_of_real_lengths() -> None:
    lengths = np.random.default_rng(0).lognormal(6.2, 1.1, 200_000).astype(np.int64).clip(1, 1_000_000)
    assert fill(best_fit(lengths, 4096, BestFitParams()), 4096) > 0.9998


def test_windows_cost_no_fill(tmp_path: Path) -> None:
    lengths = np.random.default_rng(0).lognormal(5, 1.0, 20_000).astype(np.int64).clip(1, 100_000).tolist()
    shards = write_source(tmp_path / "s", lengths)
    whole = build_rows(shards, 1024, "best_fit", None, tmp_path / "a")
    parts = build_rows(shards, 1024, "best_fit", None, tmp_path / "b", window=1000)
    assert whole["rows"] <= parts["rows"] <= whole["rows"] + 3


def test_few_pieces_wait_for_the_next_window() -> None:
    """Whatever the lengths: what is carried over is packed again, and would grow with every window."""
    for length in (3, 5, 4096 // 3, 4095):
        packing = best_fit(np.full(1000, length), 4096, BestFitParams())
        waiting = len(packing.document) - int(packing.rows[packing.closed])
        assert waiting <= 1000 // CARRIED_SHARE


def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    shards = write_source(tmp_path / "s", [5, 900, 17, 64, 64, 3, 1, 0, 250], shards=3)
    for out in ("a", "b"):
        build_rows(shards, 64, "best_fit", None, tmp_path / out, window=2)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def careless(lengths: np.ndarray, row_length: int, params: object) -> Packing:
    """A policy that leaves the last document out without saying so."""
    return concat(lengths[:-1], row_length, ConcatParams())


def overlapping(lengths: np.ndarray, row_length: int, params: object) -> Packing:
    """A policy that repeats a token."""
    one, zero = np.ones(2, np.int64), np.zeros(2, np.int64)
    return Packing(np.array([0, 1, 2]), zero, zero, one, 2)


def repeating(lengths: np.ndarray, row_length: int, params: object) -> Packing:
    """A policy that takes the beginning of a document twice and its end never, so that the numbers add up."""
    document, start = np.array([0, 0, 1]), np.array([0, 0, 0])
    return Packing(np.array([0, 2, 3]), document, start, np.array([3, 2, 8]), 2)


@pytest.mark.parametrize("policy", [careless, overlapping, repeating])
def test_a_policy_that_loses_or_repeats_tokens_is_refused(tmp_path: Path, policy: object, monkeypatch) -> None:
    shards = write_source(tmp_path / "s", [5, 8])
    plugins = Registry()
    monkeypatch.setattr(plugins, "load", lambda kind, name: policy)
    with pytest.raises(KormoError, match="packing concat"):
        build_rows(shards, 8, "concat", {}, tmp_path / "r", plugins=plugins)
    assert not list((tmp_path / "r").iterdir())
