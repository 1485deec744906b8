"""Held-out loss: whole documents, alone, every byte counted once, the same number however the work is divided."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.documents.conversation import with_messages
from kormo_plugins.documents.document import Document
from kormo_plugins.documents.preference_pair import Pair, with_pair
from kormo_plugins.errors import KormoError
from kormo_plugins.monitoring import held_out
from kormo_plugins.monitoring.held_out import Text, Window, batched, by_group, groups_of, score, smallest, windows
from kormo_plugins.monitoring.monitor import shard_batches, undisturbed
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.shards.encoder import Encoder
from tests.training.harness import VOCAB, model

from ..integration.conftest import DATA, RECIPE, merged


def texts(lengths: list[int], seed: int = 0) -> list[Text]:
    rng = np.random.default_rng(seed)
    return [Text(rng.integers(1, VOCAB, n + 1), 3 * n, ("held_out",)) for n in lengths]


def alone(net: Any, text: Text) -> float:
    """The reference: one document, one forward, no padding, in float64."""
    ids = torch.tensor(text.ids)[None]
    with torch.no_grad():
        logp = net(input_ids=ids, use_cache=False).logits[0].double().log_softmax(-1)
    return float(-logp[:-1].gather(1, ids[0, 1:, None]).sum())


@given(st.lists(st.integers(1, 200), min_size=1, max_size=20), st.integers(2, 64))
@settings(max_examples=200, deadline=None)
def test_every_token_is_predicted_once_with_half_a_window_before_it(lengths: list[int], longest: int) -> None:
    seen = [np.zeros(length, int) for length in lengths]
    for w in windows(lengths, longest):
        assert 0 <= w.start < w.scored < w.end <= lengths[w.text] and w.end - w.start <= longest
        assert w.start == 0 or w.scored - w.start >= longest // 2
        seen[w.text][w.scored : w.end] += 1
    for counts in seen:
        assert counts[0] == 0 and (counts[1:] == 1).all()


@given(st.integers(1, 40), st.integers(1, 7))
def test_every_batch_counts_once_and_every_rank_runs_equally_often(batches: int, world: int) -> None:
    shares = [shard_batches(range(batches), rank, world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(batch for share in shares for batch, counts in share if counts) == list(range(batches))


def test_a_document_scores_what_it_scores_alone() -> None:
    net, given_texts = model().eval(), texts([1, 5, 17, 30, 2, 31, 9])
    expected = [alone(net, text) for text in given_texts]
    for rows in (1, 3, 64):  # other batches, other padding
        with torch.no_grad():
            found = score(net, given_texts, 32, rows, pad=0)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_long_document_is_scored_in_windows_and_loses_nothing() -> None:
    net, [text] = model().eval(), texts([100])
    pieces = windows([101], 32)
    assert len(pieces) > 3
    expected = 0.0
    for w in pieces:
        with torch.no_grad():
            logp = net(input_ids=torch.tensor(text.ids[w.start : w.end])[None]).logits[0].double().log_softmax(-1)
        for place in range(w.scored, w.end):
            expected -= float(logp[place - w.start - 1, text.ids[place]])
    with torch.no_grad():
        np.testing.assert_allclose(score(net, [text], 32, 2, pad=0), [expected], rtol=1e-6)


def test_a_model_that_knows_nothing_pays_the_same_for_every_token() -> None:
    class Uniform(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids: Any, **kwargs: Any) -> Any:
            return SimpleNamespace(logits=torch.zeros(*input_ids.shape, VOCAB))

    with torch.no_grad():
        found = score(Uniform(), texts([4, 300]), 32, 2, pad=0)
    np.testing.assert_allclose(found, [4 * math.log(VOCAB), 300 * math.log(VOCAB)], rtol=1e-6)


def test_the_vocabulary_is_never_copied_and_the_chunk_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    net, given_texts = model().eval(), texts([5, 17, 30, 2, 31, 9])
    with torch.no_grad():
        whole = score(net, given_texts, 32, 4, pad=0)
        monkeypatch.setattr(held_out, "CHUNK", 7)
        np.testing.assert_array_equal(score(net, given_texts, 32, 4, pad=0), whole)
    seen = []

    def spy(logits: torch.Tensor, targets: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        seen.append(logits.untyped_storage().data_ptr())
        return cross_entropy(logits, targets, **kwargs)

    cross_entropy = torch.nn.functional.cross_entropy
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", spy)
    with torch.no_grad():
        score(net, texts([31, 31, 31]), 32, 4, pad=0)
    assert len(seen) == 14 and len(set(seen)) == 1  # slices of one tensor of 3 × 32 positions


def test_batches_hold_no_more_places_than_a_micro_batch() -> None:
    pieces = [Window(0, 0, n, 1) for n in sorted([2, 3, 9, 10, 31, 32, 32, 5])]
    made = batched(pieces, 64)
    assert [w for batch in made for w in batch] == pieces
    assert all(len(batch) * max(w.end - w.start for w in batch) <= 64 for batch in made)


def test_groups_are_sums_over_documents_not_means_of_means() -> None:
    ids = np.zeros(3, np.int64), np.zeros(11, np.int64)
    given_texts = [Text(ids[0], 6, ("held_out", "held_out/ko")), Text(ids[1], 10, ("held_out", "held_out/en"))]
    found = by_group(given_texts, np.array([6 * math.log(2), 30 * math.log(2)]))
    assert found["held_out/bits_per_byte"] == pytest.approx(36 / 16)
    assert found["held_out/bits_per_byte/ko"] == pytest.approx(1)
    assert found["held_out/bits_per_byte/en"] == pytest.approx(3)
    assert found["held_out/loss"] == pytest.approx(36 * math.log(2) / 12)


def test_of_a_conversation_only_what_is_trained_counts() -> None:
    net, [whole] = model().eval(), texts([40])
    mask = np.zeros(41, bool)
    mask[[5, 6, 20, 39]] = True
    with torch.no_grad():
        logp = net(input_ids=torch.tensor(whole.ids)[None]).logits[0].double().log_softmax(-1)
        found = score(net, [Text(whole.ids, 9, ("held_out",), mask)], 64, 2, pad=0)
    places = torch.tensor(np.flatnonzero(mask))
    expected = -logp[places - 1].gather(1, torch.tensor(whole.ids)[places, None]).sum()
    np.testing.assert_allclose(found, [float(expected)], rtol=1e-6)
    told = by_group([Text(whole.ids, 9, ("held_out",), mask)], found)
    assert told["held_out/loss"] == pytest.approx(float(expected) / 4)


def test_the_bytes_of_a_conversation_are_those_of_its_answers() -> None:
    thought = {"role": "assistant", "content": "답", "reasoning_content": "ab"}
    asked = {"role": "user", "content": "question"}
    talk = with_messages(Document("1", ""), [asked, {**thought, "content": "one"}, asked, thought])
    assert held_out.answer_bytes(talk) == 3 + 3 + 2  # the earlier thought is not in the ids
    pair = with_pair(Document("2", ""), Pair([asked], thought, {**thought, "content": "no"}))
    better = held_out.conversation_of(pair)
    assert better is not None and held_out.answer_bytes(better) == 3 + 2
    assert held_out.conversation_of(Document("3", "text")) is None


def test_a_document_counts_for_its_language_source_domain_and_writer() -> None:
    made = Document("1", "글", "web", "ko", synthetic=True, generator="g", meta={"genre": "news"})
    assert groups_of("held_out", "web", made, ("domain", "genre")) == (
        "held_out", "held_out/ko", "held_out/source/web", "held_out/domain/news", "held_out/writer/g",
    )  # fmt: skip
    assert (
        groups_of("external_eval", "books", Document("2", "a", language="en"), ())[-1] == "external_eval/writer/human"
    )


def test_the_choice_of_documents_does_not_depend_on_their_order() -> None:
    documents = [Document(str(n), "text") for n in range(50)] + [Document("empty", "")]
    chosen = {document.id for document in smallest(documents, 10)}
    assert chosen == {document.id for document in smallest(documents[::-1], 10)} and len(chosen) == 10
    assert chosen < {document.id for document in smallest(documents, 20)}


def test_looking_leaves_the_model_and_the_random_state_as_they_were() -> None:
    net = model().train()
    net.model.layers[1].eval()
    modes = [module.training for module in net.modules()]
    before, config = torch.random.get_rng_state(), net.config.to_dict()
    with undisturbed(net):
        assert not any(module.training for module in net.modules())
        torch.rand(5)
        assert not (net(torch.zeros(1, 2, dtype=torch.long)).logits * 2).requires_grad
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(before, torch.random.get_rng_state()) and net.config.to_dict() == config
    assert torch.is_grad_enabled()


def _rank(rank: int, world: int, store: str, out: str) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    net = model().eval()
    with torch.no_grad():
        found = score(net, texts([5, 80, 17, 30, 2, 31, 9]), 32, 2, pad=0)
    np.save(f"{out}-{rank}.npy", found)
    dist.destroy_process_group()


def test_the_parts_of_the_ranks_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    net, given_texts = model().eval(), texts([5, 80, 17, 30, 2, 31, 9])
    with torch.no_grad():
        one = score(net, given_texts, 32, 2, pad=0)
        monkeypatch.setattr(held_out, "summed", lambda values: values)
        parts = []
        for rank in range(3):
            monkeypatch.setattr(held_out, "group_rank", lambda rank=rank: (rank, 3))
            parts.append(score(net, given_texts, 32, 2, pad=0))
    np.testing.assert_allclose(sum(parts), one, rtol=1e-12)
    assert all((part != one).any() for part in parts)


@pytest.mark.soak
def test_two_ranks_find_what_one_finds(tmp_path: Path) -> None:
    import torch.multiprocessing as mp

    mp.spawn(_rank, args=(2, str(tmp_path / "store"), str(tmp_path / "found")), nprocs=2)
    with torch.no_grad():
        one = score(model().eval(), texts([5, 80, 17, 30, 2, 31, 9]), 32, 2, pad=0)
    for rank in (0, 1):
        np.testing.assert_allclose(np.load(tmp_path / f"found-{rank}.npy"), one, rtol=1e-6)


# ---- the recipe -----------------------------------------------------------------------------------------------------


def recipe(folder: Path, monitor: dict[str, Any] | None, **change: Any) -> Any:
    kormo = {"workspace": str(folder / "artifacts"), "monitor": monitor}
    path = folder / "recipe.yml"
    path.write_text(yaml.safe_dump(merged(merged(RECIPE, {"output_dir": str(folder / "out"), "kormo": kormo}), change)))
    return load_recipe(path)


@pytest.mark.parametrize(
    ("monitor", "named"),
    [
        ({}, "kormo.monitor"),
        ({"every_steps": 2, "every_tokens": 100}, "kormo.monitor"),
        ({"every_steps": 0}, "kormo.monitor.every_steps"),
        ({"every_steps": 2, "held_out": {"documnets": 3}}, "kormo.monitor.held_out.documnets"),
        ({"every_steps": 2, "collapse": {"prompts": {"ko": []}}}, "kormo.monitor.collapse.prompts"),
        (
            {"every_steps": 2, "external_eval": {"sources": {"again": {"generator": {"name": "embedded"}}}}},
            "sources.again",
        ),
        ({"every_steps": 2, "external_eval": {"sources": {}}}, "kormo.monitor.external_eval.sources"),
    ],
)
def test_what_is_wrong_with_it_is_named(tmp_path: Path, monitor: dict[str, Any], named: str) -> None:
    with pytest.raises(KormoError) as caught:
        recipe(tmp_path, monitor)
    assert named in caught.value.where


def test_without_data_of_ours_it_says_what_it_needs(tmp_path: Path) -> None:
    for monitor, named in (({"every_tokens": 10}, "every_tokens"), ({"every_steps": 10}, "held_out")):
        with pytest.raises(KormoError) as caught:
            recipe(tmp_path, monitor, kormo={"data": None, "global_batch": None}, datasets=[{"path": "x"}])
        assert named in caught.value.where


def test_tokens_between_looks_are_whole_steps(tmp_path: Path) -> None:
    asked = recipe(tmp_path, {"every_tokens": 5000}).block.monitor
    assert asked.steps_between(8 * 128) == 5 and asked.steps_between(10**9) == 1


def test_no_held_out_document_is_in_any_training_row(tmp_path: Path) -> None:
    from kormo_plugins.pipeline.build import build_all as build
    from kormo_plugins.pipeline.open import open_dataset
    from kormo_plugins.runs.monitors import monitoring, run_view
    from kormo_plugins.store.corpus_files import read_corpus

    assert DATA["mixture"]["weights"]  # every source has a share
    asked = recipe(tmp_path, {"every_steps": 2}, max_steps=60)
    built = build(asked, log=lambda line: None)
    dataset = open_dataset(asked.stream_plan(), built)
    trained_ids, trained_texts = set(), set()
    for name, plan in dataset.rows.items():
        trained_ids |= {(name, plan.shards.name(n)) for n in range(plan.shards.documents)}
        trained_texts |= {document.text for document in read_corpus(built.corpora[name].path)}
    drawn = {
        (sample.source, dataset.rows[sample.source].shards.name(document))
        for sample in map(dataset.sample, range(len(dataset))) for document, _, _ in sample.documents
    }  # fmt: skip
    assert drawn and drawn <= trained_ids
    monitor = monitoring(asked)[0]
    view = run_view(asked, built, trainer=None)
    monitor.open(view)
    held = {(name, d.id): d.text for name, where in view.held_out.items() for d in read_corpus(where.folders[0])}
    assert len(monitor.texts) == len(held) > 0
    # Each has the ids that the engine of the shards gives it alone, behind the start token.
    encoder, first = Encoder(view.tokenizer), view.special["bos"]
    expected = sorted([first, *encoder.encode([text], [""])[0].tolist()] for text in held.values())
    assert sorted(text.ids.tolist() for text in monitor.texts) == expected
    assert not held.keys() & trained_ids and not set(held.values()) & trained_texts
