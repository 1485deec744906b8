"""Shares are exact at every step, the order is a bijection, and what cannot be held is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.params import WeightedParams
from kormo_plugins.mixture.sampling.order import key, permute, subkey
from kormo_plugins.mixture.sampling.schedule import EVERY, SourceSize, advance, weighted
from kormo_plugins.mixture.sampling.weights import Group, leaves, shares
from kormo_plugins.plugins.registry import checked

from .made_sources import OpenMixture


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(st.floats(1e-6, 1), st.integers(1, 9)), min_size=1, max_size=40),
    st.integers(1, 60),
)
def test_every_prefix_is_within_one_row_of_its_share(weights: list[float], batch: int) -> None:
    rates = np.array(weights, float) / sum(weights)
    counts = np.zeros(len(rates), np.int64)
    for step in range(1, 200):
        before = counts.copy()
        assert advance(counts, rates, batch, step - 1, 1)
        assert counts.sum() == step * batch
        assert (counts >= before).all(), "a row was taken back"
        assert np.abs(counts - rates * step * batch).max() < 1 + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(0, 2**63))
def test_permutations_are_bijections(count: int, seed: int) -> None:
    image = [permute(index, count, np.uint64(seed)) for index in range(count)]
    assert sorted(image) == list(range(count))


def test_permutations_differ_by_key_and_look_random() -> None:
    count = 1000
    keys = [np.uint64(subkey(key(1, "rows", "ko"), epoch)) for epoch in range(20)]
    epochs = [[permute(i, count, key) for i in range(count)] for key in keys]
    assert len({tuple(e) for e in epochs}) == 20
    fixed = sum(e[i] == i for e in epochs for i in range(count))
    assert 5 <= fixed <= 40  # 20 expected, one for each permutation
    late = sum(np.corrcoef(np.arange(count), e)[0, 1] for e in epochs) / 20
    assert abs(late) < 0.05


def test_big_permutations_reach_everything() -> None:
    count = 3_000_000_000
    image = {permute(index, count, key("big")) for index in range(1000)}
    assert len(image) == 1000 and max(image) > 0.99 * count and min(image) < 0.01 * count


def test_the_earliest_deadlines_are_served_and_of_equal_ones_the_first() -> None:
    """`advance` against a sort of Python's: many sources, among them equal ones, whose deadlines tie."""
    rates = np.random.default_rng(3).integers(1, 6, 300).astype(float)
    rates /= rates.sum()
    counts, expected = np.zeros(300, np.int64), np.zeros(300, np.int64)
    for step in range(1, 40):
        assert advance(counts, rates, 64, step - 1, 1)
        target = rates * step * 64
        expected = np.maximum(expected, np.floor(target + 1e-6).astype(np.int64))
        late = [(float((expected[s] + 1) / rates[s]), s) for s in range(300) if expected[s] < np.ceil(target[s] - 1e-6)]
        for _, source in sorted(late)[: 64 * step - int(expected.sum())]:
            expected[source] += 1
        assert (counts == expected).all()


def test_counts_are_the_same_from_anywhere() -> None:
    sizes = {name: SourceSize(10**6, 10**9) for name in "abcde"}
    params = checked(
        WeightedParams,
        {
            "weights": {"a": 1, "b": 0.3, "c": 2.7, "d": 0.001, "e": 5},
            "stages": [{"from_tokens": 700 * 10 * 100, "weights": {"a": 1, "e": 1}}],
        },
        "test",
    )
    make = lambda: weighted(sizes, params, row_length=100, global_batch=10, steps=3000)  # noqa: E731
    walked = make()
    every = [walked.counts(step) for step in range(2 * EVERY + 700)]
    for step in np.random.default_rng(0).permutation(len(every))[:200]:
        assert (make().counts(int(step)) == every[step]).all()
        assert (walked.counts(int(step)) == every[step]).all()
    after = every[-1] - every[700]
    assert after[[1, 2, 3]].sum() == 0 and abs(int(after[0]) - int(after[4])) <= 1


def test_a_million_steps_are_reached_at_once() -> None:
    import time

    sizes = {f"s{n}": SourceSize(10**12, 10**15) for n in range(20)}
    weights = {f"s{n}": 1 + n**2 for n in range(20)}
    mixing = weighted(sizes, WeightedParams(weights=weights), row_length=100, global_batch=512, steps=1)
    begin = time.process_time()
    counts = mixing.counts(1_000_000)
    assert time.process_time() - begin < 5.0
    assert np.abs(counts - 512e6 * np.array([1 + n**2 for n in sorted(range(20), key=str)]) / 2490).max() < 1.001


def test_a_tree_of_weights() -> None:
    tree = {
        "korean": Group(share=60, of={"ko_web": 1, "ko_synth": Group(share=3, of={"a": 1, "b": 1})}),
        "english": Group(share=40, of={"en": 7}),
    }
    assert leaves(tree, "w") == pytest.approx({"ko_web": 0.15, "a": 0.225, "b": 0.225, "en": 0.4})
    tokens = {"ko_web": 1, "a": 1, "b": 1, "en": 1, "other": 5}
    assert shares(tree, tokens, 1.0, "w")["other"] == 0
    hot = shares(None, {"a": 100, "b": 10_000}, 2.0, "w")
    assert hot == pytest.approx({"a": 10 / 110, "b": 100 / 110})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"ko_web": 1, "g": {"share": 1, "of": {"ko_web": 1}}}, "occurs twice"),
        ({"ko_wep": 1}, "Did you mean 'ko_web'"),
        ({"ko_web": 0}, "sum to 0"),
        ({"g": {"share": 1, "of": {"ko_web": 0}}}, "sum to 0"),
        ({"ko_web": -1}, "greater than or equal to 0"),
        ({"empty": 1}, "without tokens"),
        ({"g": {"share": 1, "off": {"ko_web": 1}}}, "weights"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights: dict, message: str) -> None:
    sizes = {"ko_web": SourceSize(10, 100), "empty": SourceSize(0, 0)}
    with pytest.raises(KormoError, match=message):
        params = checked(WeightedParams, {"weights": weights}, "kormo.mixture")
        weighted(sizes, params, row_length=10, global_batch=4, steps=2)


def test_a_source_that_runs_out_is_named_with_its_step() -> None:
    sizes = {"small": SourceSize(10, 100), "big": SourceSize(10**6, 10**7)}
    params = WeightedParams(weights={"small": 1, "big": 1}, max_epochs=2)
    weighted(sizes, params, row_length=10, global_batch=4, steps=10)
    with pytest.raises(KormoError, match=r"small at step 10 of 11 \(2\.20 epochs of 2\)"):
        weighted(sizes, params, row_length=10, global_batch=4, steps=11)
    weighted(
        sizes,
        WeightedParams(weights={"small": 1, "big": 1}, max_epochs={"big": 1}),
        row_length=10,
        global_batch=4,
        steps=11,
    )


def test_a_source_may_be_gone_through_as_often_as_allowed_and_not_a_row_more() -> None:
    sizes = {"small": SourceSize(10, 100), "big": SourceSize(10**6, 10**7)}
    params = WeightedParams(weights={"small": 1, "big": 3}, max_epochs=2)
    weighted(sizes, params, row_length=10, global_batch=4, steps=20)  # a row a step: 20 of the 20 allowed
    with pytest.raises(KormoError, match=r"small at step 20 of 21 "):
        weighted(sizes, params, row_length=10, global_batch=4, steps=21)


def test_a_stage_begins_at_the_first_whole_step_after_its_tokens() -> None:
    sizes = {"a": SourceSize(100, 1000), "b": SourceSize(100, 1000)}
    for tokens, step in ((1, 1), (40, 1), (41, 2), (80, 2)):  # a step is of 40
        params = checked(
            WeightedParams,
            {"weights": {"a": 1}, "stages": [{"from_tokens": tokens, "weights": {"b": 1}}]},
            "kormo.mixture",
        )
        mixing = weighted(sizes, params, row_length=10, global_batch=4, steps=9)
        assert mixing.stages()[1]["from_step"] == step
        assert mixing.counts(step).tolist() == [4 * step, 0] and mixing.counts(9).tolist() == [4 * step, 36 - 4 * step]


def test_shares_are_of_tokens_not_of_rows(mixture: OpenMixture) -> None:
    data = mixture(
        {"weights": {"short": 1, "full": 1}},
        packing={"name": "pad"},
        steps=50,
        sources={"short": [32] * 3000, "full": [128] * 3000},
    )
    tokens = {"short": 0, "full": 0}
    rows = data.__getitems__(range(len(data)))
    for source, filled in zip(rows.source, rows.filled, strict=True):
        tokens[data.names[source]] += int(filled)
    assert tokens["short"] == pytest.approx(tokens["full"], abs=2 * 128)


def test_each_epoch_goes_through_every_row_once(mixture: OpenMixture) -> None:
    data = mixture({"weights": {"ko": 1, "en": 1, "web": 3}}, steps=80)
    seen: dict[tuple[str, int], list[int]] = {}
    for index in range(len(data)):
        source, row, epoch = data.locate([index])[0]
        seen.setdefault((data.names[source], int(epoch)), []).append(int(row))
    drawn = dict(zip(data.names, data.mixing.counts(80), strict=True))
    for (name, epoch), rows in seen.items():
        total = data.rows[name].rows
        assert len(rows) == len(set(rows)) == min(total, int(drawn[name]) - epoch * total)
    assert max(epoch for _, epoch in seen) >= 2
    half = data.rows["web"].rows // 2
    first, second = (set(seen["web", epoch][:half]) for epoch in (0, 1))
    assert len(first & second) < 0.75 * half, "an epoch repeats the order of the one before"


def test_slots_are_shuffled_within_a_batch(mixture: OpenMixture) -> None:
    data = mixture({"weights": {"ko": 1, "en": 1, "web": 1}}, steps=30, global_batch=24)
    halves = [np.bincount(data.locate(range(24 * s, 24 * s + 12))[:, 0], minlength=3) for s in range(30)]
    assert len({tuple(h) for h in halves}) > 5
    assert np.allclose(np.mean(halves, 0), 4, atol=1)
