"""The past of a mixture is fixed, its future may be amended, and cursors carry over."""

from __future__ import annotations

import json

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.params import WeightedParams
from kormo_plugins.mixture.report import batch, stats, tree
from kormo_plugins.mixture.resume import check_resume, differences

from .made_sources import OpenMixture, lognormal

STEP = 24 * 128  # tokens of a step
BASE = {"weights": {"ko": 1, "en": 1, "web": 2}}
ANNEAL = {**BASE, "stages": [{"from_tokens": 10 * STEP, "weights": {"ko": 1, "en": 1}}]}


def test_an_amendment_of_the_future_keeps_the_past_and_repeats_no_row(mixture: OpenMixture) -> None:
    sources = {name: lognormal(2000, n) for n, name in enumerate(("en", "ko", "web"))}
    old, new = mixture(BASE, sources=sources, steps=20), mixture(ANNEAL, sources=sources, steps=20)
    [line] = check_resume(json.loads(json.dumps(old.parts())), new.parts(), 10)
    assert line.startswith("amended from step 10: ") and "web" in line
    assert (new.locate(range(240)) == old.locate(range(240))).all()
    drawn = [tuple(row) for row in new.locate(range(480)).tolist()]
    assert len(set(drawn)) == len(drawn)
    names = {new.names[source] for source, _, _ in drawn[240:]}
    assert names == {"ko", "en"}


def test_an_edit_of_the_past_is_refused_with_the_first_step_it_changes(mixture: OpenMixture) -> None:
    old, new = mixture(BASE), mixture(ANNEAL)
    with pytest.raises(KormoError, match="step 10, already trained") as error:
        check_resume(old.parts(), new.parts(), 11)
    assert "add a stage from step 11" in error.value.do
    assert check_resume(old.parts(), new.parts(), 11, allow=True)
    with pytest.raises(KormoError, match="step 0, already trained"):
        check_resume(old.parts(), mixture({"weights": {"ko": 2, "en": 1, "web": 2}}).parts(), 1)
    assert check_resume(old.parts(), mixture({"weights": {"ko": 2, "en": 1, "web": 2}}).parts(), 0)


def test_a_border_between_equal_stages_is_an_edit_too(mixture: OpenMixture) -> None:
    """Rows are counted afresh from a stage on, so the step after it may round to other sources."""
    old, new = mixture(BASE), mixture({**BASE, "stages": [{"from_tokens": 5 * STEP, **BASE}]})
    with pytest.raises(KormoError, match="a stage begins at step 5 in only one"):
        check_resume(old.parts(), new.parts(), 6)
    assert len(check_resume(old.parts(), new.parts(), 5)) == 1


def test_what_differs_is_named(mixture: OpenMixture) -> None:
    old = mixture(BASE)
    for change, word in (
        ({"seed": 5}, "seed: 1 became 5"),
        ({"global_batch": 12}, "global_batch: 24 became 12"),
    ):
        with pytest.raises(KormoError, match=word):
            check_resume(old.parts(), mixture(BASE, **change).parts(), 3)
    other = {"en": lognormal(300, 1), "ko": lognormal(400, 7), "web": lognormal(200, 3)}
    with pytest.raises(KormoError, match="source ko: rebuilt"):
        check_resume(old.parts(), mixture(BASE, sources=other, root="other").parts(), 3)


def test_a_source_may_join_later(mixture: OpenMixture) -> None:
    sources = {"ko": lognormal(500, 1), "en": lognormal(500, 2)}
    base = {"weights": {"ko": 1, "en": 1}}
    old = mixture(base, sources=sources)
    joined = {**base, "stages": [{"from_tokens": 10 * STEP, "weights": {"ko": 1, "math": 1}}]}
    new = mixture(joined, sources={**sources, "math": lognormal(500, 3)})
    assert check_resume(old.parts(), new.parts(), 10)
    before = [(old.names[s], r) for s, r, _ in old.locate(range(240)).tolist()]
    assert before == [(new.names[s], r) for s, r, _ in new.locate(range(240)).tolist()]


def test_the_same_recipe_and_a_longer_run_differ_in_nothing(mixture: OpenMixture) -> None:
    old, longer = mixture(ANNEAL), mixture(ANNEAL, steps=40)
    assert differences(old.parts(), longer.parts()) == []
    assert old.fingerprint() == longer.fingerprint()
    assert (old.locate(range(480)) == longer.locate(range(480))).all()


def test_position_counts_samples(mixture: OpenMixture) -> None:
    data = mixture(ANNEAL)
    position = json.loads(json.dumps(data.data_position(7)))
    assert (position["step"], position["samples"], position["fingerprint"]) == (7, 168, data.fingerprint())
    assert check_resume(position["parts"], data.parts(), 7) == []
    place = data.describe(7)
    assert sum(source["rows"] for source in place["sources"].values()) == 168
    assert place["tokens"] == 7 * STEP


def test_stats_tell_wanted_and_got(mixture: OpenMixture) -> None:
    data = mixture(ANNEAL)
    table = json.loads(json.dumps(stats(data)))
    fields = {"documents", "tokens", "tokens_placed", "tokens_dropped", "rows", "fill", "weight", "share"}
    for source in table["sources"].values():
        assert fields <= source.keys()
        assert source["tokens"] == source["tokens_placed"] + source["tokens_dropped"]
        assert source["share"] == pytest.approx(source["weight"], abs=0.01)
    assert table["sources"]["web"]["weight"] == pytest.approx(0.25)
    assert sum(source["weight"] for source in table["sources"].values()) == pytest.approx(1)
    assert sum(source["share"] for source in table["sources"].values()) == pytest.approx(1)


def test_the_tree_sums_its_groups(mixture: OpenMixture) -> None:
    weights = {"korean": {"share": 3, "of": {"ko": 1, "web": 2}}}
    table = stats(mixture({"weights": weights}))
    checked = WeightedParams.model_validate({"weights": weights}).weights
    korean, left_out = tree(table, checked)
    assert [child["name"] for child in korean["children"]] == ["ko", "web"]
    assert korean["weight"] == pytest.approx(1) and left_out["name"] == "en" and left_out["share"] == 0
    assert korean["tokens"] == sum(table["sources"][name]["tokens"] for name in ("ko", "web"))
    assert [node["name"] for node in tree(table, None)] == ["en", "ko", "web"]


def test_a_batch_is_described_from_the_recipe_alone(mixture: OpenMixture) -> None:
    data = mixture(ANNEAL)
    whole = json.loads(json.dumps(batch(data, 13)))
    assert whole["step"] == 13 and whole["rank"] == 0 and whole["world_size"] == 1
    assert [sample["index"] for sample in whole["samples"]] == list(range(13 * 24, 14 * 24))
    for sample in whole["samples"]:
        documents = data.sample(sample["index"]).documents
        assert sample["documents"] == [{"id": f"d{n}", "start": a, "end": b} for n, a, b in documents]
    for micro_batch, first in ((None, range(8)), (2, (0, 1, 6, 7, 12, 13, 18, 19)), (1, range(0, 24, 3))):
        parts = [batch(data, 13, rank=r, world_size=3, micro_batch=micro_batch) for r in range(3)]
        assert [s["index"] - 13 * 24 for s in parts[0]["samples"]] == list(first)
        union = sorted((s["index"], s["row"]) for part in parts for s in part["samples"])
        assert union == [(s["index"], s["row"]) for s in whole["samples"]]
    texts = batch(data, 0, decode=lambda ids: f"{len(ids)} ids")["samples"][0]["documents"]
    assert all(d["text"] == f"{d['end'] - d['start']} ids" for d in texts)


@pytest.mark.parametrize("bad", [{"step": 20}, {"step": -1}, {"rank": 3, "world_size": 3}, {"world_size": 5}])
def test_a_batch_that_does_not_exist_is_refused(mixture: OpenMixture, bad: dict[str, int]) -> None:
    with pytest.raises(KormoError, match="--"):
        batch(mixture(BASE), bad.pop("step", 0), **bad)
