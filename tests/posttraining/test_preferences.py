"""Preference pairs: what is one, what is none, its ids, and the order in which a run sees them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.preference_pair import Pair, checked_pair, pair_of, rewritten, text_of, with_pair
from kormo_plugins.embedded.conversations.chat import is_held_out
from kormo_plugins.embedded.conversations.preferences import FAULTS, PreferenceParams, generate
from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.pairs import open_pairs
from kormo_plugins.mixture.params import MixtureRecipe
from kormo_plugins.plugins.registry import registry
from kormo_plugins.posttraining.preference_pairs import render, token_pairs
from kormo_plugins.shards.pairs import Pairs, TokenPair, Unused
from kormo_plugins.shards.verify import verify
from kormo_plugins.store.corpus_files import read_corpus
from kormo_plugins.tokenizer.chat.chat_tokenizer import open_chat

from .made_pairs import built, chat_tokenizer, dataset, pairs

__all__ = ["chat_tokenizer"]

USER = {"role": "user", "content": "2 더하기 2는?"}
OTHER = {"role": "user", "content": "2 더하기 3은?"}
GOOD = {"role": "assistant", "content": "4입니다."}
BAD = {"role": "assistant", "content": "5입니다."}
THOUGHT = {**GOOD, "reasoning_content": "둘에 둘을 더한다."}
PAIR = Pair([USER], GOOD, BAD)


# ---- what is a pair


@pytest.mark.parametrize(
    "columns",
    [
        {"prompt": USER["content"], "chosen": GOOD["content"], "rejected": BAD["content"]},
        {"prompt": [USER], "chosen": GOOD, "rejected": [BAD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": USER["content"], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": [USER], "chosen": [USER, GOOD], "rejected": BAD},
    ],
)
def test_every_known_shape_is_the_same_pair(columns: dict[str, Any]) -> None:
    assert checked_pair(columns) == PAIR


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"prompt": "a", "chosen": "b"}, "rejected: missing"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "the two sides are the same"),
        ({"prompt": "a", "chosen": "b\n", "rejected": "b"}, "the two sides are the same"),
        ({"prompt": "a", "chosen": "b", "rejected": " "}, "rejected: an empty assistant turn"),
        ({"prompt": "a", "chosen": "", "rejected": "c"}, "chosen: an empty assistant turn"),
        ({"chosen": [USER, GOOD], "rejected": [BAD, USER, BAD]}, "the two sides answer different prompts"),
        ({"chosen": [USER, GOOD], "rejected": [USER]}, "rejected: the last turn is of the user"),
        ({"chosen": [GOOD], "rejected": [BAD]}, "chosen: no user turn"),
        ({"chosen": [USER, GOOD], "rejected": [OTHER, BAD]}, "the two sides answer different prompts"),
        ({"prompt": "x", "chosen": [USER, GOOD], "rejected": BAD}, "chosen: turns that do not begin with the prompt"),
        ({"prompt": "x", "chosen": "a<|EOT|>", "rejected": "b"}, "chosen: the control token <|EOT|> in a turn"),
        ({"prompt": "x", "chosen": 3, "rejected": "b"}, "chosen: a turn that is no mapping"),
    ],
)
def test_what_is_none_says_why(columns: dict[str, Any], reason: str) -> None:
    assert checked_pair(columns) == Reject(reason)


def test_the_same_words_cut_off_are_another_answer() -> None:
    pair = checked_pair({"prompt": "a", "chosen": "b", "rejected": "b", "unfinished": True})
    assert isinstance(pair, Pair) and pair.unfinished


def test_a_step_that_changes_text_reaches_every_turn() -> None:
    def louder(document: Document) -> Document:
        document.text = document.text.replace("니다", "니다!")
        return document

    document = rewritten(with_pair(Document("1", ""), Pair([USER], THOUGHT, BAD)), louder)
    assert isinstance(document, Document)
    pair = pair_of(document)
    assert pair is not None and pair.chosen["content"] == "4입니다!." and pair.rejected["content"] == "5입니다!."
    assert document.text == text_of(pair)


def test_a_step_that_makes_both_sides_the_same_drops_the_pair() -> None:
    def blunt(document: Document) -> Document:
        document.text = document.text.replace("4", "5")
        return document

    assert rewritten(with_pair(Document("1", ""), PAIR), blunt) == Reject("the two sides are the same")


def test_a_source_keeps_count_of_what_is_no_pair(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "chosen": "네.", "rejected": "네." if n == 3 else "아니요."} for n in range(6)]
    rows[4]["rejected"] = ""
    stats = _build(tmp_path, rows)
    assert stats["documents"] == 4 and stats["rejected"] == 2
    reasons = {d.meta["rejected"]["reason"] for d in read_corpus(tmp_path / "out/rejects")}
    assert reasons == {"the two sides are the same", "rejected: an empty assistant turn"}


def test_a_dataset_without_rejected_is_told_by_name(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "chosen": f"{n}"} for n in range(3)]
    with pytest.raises(KormoError) as told:
        _build(tmp_path, rows)
    assert "no column 'rejected'" in told.value.found and "a.jsonl:1" in told.value.why


def _build(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"text": "chosen", "keep": ["prompt", "chosen", "rejected"]}
    reader = {"name": "jsonl", "path": str(folder / "a.jsonl"), "columns": columns}
    recipe = CorpusRecipe.model_validate(
        {
            "sources": {"a": {"reader": reader}},
            "steps": [{"name": "preference_pair"}, {"name": "normalize"}],
        }
    )
    return build_source("a", recipe.sources["a"], recipe, registry(), folder / "out")


# ---- the generator


def test_generated_pairs_are_pairs_and_say_what_they_are() -> None:
    documents = pairs(400)
    for document in documents:
        assert checked_pair(document.meta) == pair_of(document)
        assert not is_held_out(document.meta["prompt"][0]["content"])
        assert document.synthetic and document.generator == "embedded_preferences" and document.license == "Apache-2.0"
    assert {d.language for d in documents} == {"ko", "en"} and {d.meta["fault"] for d in documents} == set(FAULTS)
    thinking = sum(pair.thinking for d in documents if (pair := pair_of(d)))
    assert 150 < thinking < 250
    assert len({document.id for document in documents}) == 400


@given(count=st.integers(1, 60), shards=st.integers(1, 7), seed=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_shards_are_the_set_once(count: int, shards: int, seed: int) -> None:
    params = PreferenceParams(pairs=count, seed=seed)
    parts = [document for shard in range(shards) for document in generate(params, shard, shards)]
    assert parts == list(generate(params))


# ---- ids


def test_ids_are_those_of_the_chat_template_and_its_training_mask(chat_tokenizer: Path) -> None:
    """The border between prompt and answer is where supervised fine-tuning begins to train the last turn."""
    from transformers import AutoTokenizer

    from kormo_plugins.tokenizer.chat.template import encode_chat

    tokenizer = AutoTokenizer.from_pretrained(chat_tokenizer)
    found = list(token_pairs(pairs(), open_chat(chat_tokenizer), 512, "x"))
    assert len(found) == 24
    for document, tokens in zip(pairs(), found, strict=True):
        pair = pair_of(document)
        assert pair is not None and isinstance(tokens, TokenPair)
        prompt, chosen, rejected = tokens.ids
        for answer, side in ((chosen, pair.chosen), (rejected, pair.rejected)):
            ids, mask = encode_chat(tokenizer, [*pair.prompt, side], enable_thinking=pair.thinking)
            end = len(ids) - 2 if side is pair.rejected and pair.unfinished else len(ids)
            assert prompt + answer == ids[:end]
            assert mask == [0] * len(prompt) + [1] * (len(ids) - len(prompt))
        assert chosen[-2] == tokenizer.convert_tokens_to_ids("<|EOT|>")
        assert tokenizer.bos_token_id not in prompt


def test_an_answer_without_a_thought_closes_the_block_that_was_opened(chat_tokenizer: Path) -> None:
    texts = rendered(chat_tokenizer, Pair([USER], THOUGHT, BAD))
    assert texts[0].endswith("<|BOT|>assistant\n<think>\n") and texts[2] == "\n</think>\n5입니다.<|EOT|>\n"
    assert rendered(chat_tokenizer, PAIR)[1:] == ["4입니다.<|EOT|>\n", "5입니다.<|EOT|>\n"]
    assert rendered(chat_tokenizer, Pair([USER], GOOD, BAD, unfinished=True))[2] == "5입니다."


def rendered(folder: Path, pair: Pair) -> list[str]:
    chat = open_chat(folder)
    texts = render(chat, pair)
    assert not isinstance(texts, Unused)
    return [chat.readable(text) for text in texts]


def test_what_is_too_long_is_kept_aside_and_never_cut(tmp_path: Path, chat_tokenizer: Path) -> None:
    long = with_pair(Document("long", ""), Pair([{"role": "user", "content": "가 " * 300}], GOOD, BAD))
    rambling = with_pair(Document("rambling", ""), Pair([USER], {**GOOD, "content": "가 " * 300}, BAD))
    folder = built(tmp_path, chat_tokenizer, "a", (*pairs(4), long, rambling), length=200)
    kept = Pairs(folder)
    assert len(kept) == 4 and kept.manifest["longest"] <= 200
    aside = [json.loads(line) for line in (folder / "rejects.jsonl").read_text().splitlines()]
    assert [line["id"] for line in aside] == ["long", "rambling"]
    assert "its prompt fills sequence_len" in aside[0]["reason"] and "longer than" in aside[1]["reason"]
    with pytest.raises(KormoError, match="no usable pair"):
        built(tmp_path, chat_tokenizer, "b", (long,), length=200)


def test_a_text_is_no_pair(tmp_path: Path, chat_tokenizer: Path) -> None:
    with pytest.raises(KormoError, match="not a preference pair"):
        built(tmp_path, chat_tokenizer, "a", (Document("1", "그냥 글"),))


def test_files_hold_what_was_written_and_damage_is_seen(tmp_path: Path, chat_tokenizer: Path) -> None:
    folder = built(tmp_path, chat_tokenizer, "a", pairs())
    tokens = list(token_pairs(pairs(), open_chat(chat_tokenizer), 512, "x"))
    assert list(Pairs(folder)) == [t.ids for t in tokens if isinstance(t, TokenPair)]
    lines = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    assert [(line["prompt"], line["chosen"], line["rejected"]) for line in lines] == [
        t.texts for t in tokens if isinstance(t, TokenPair)
    ]
    assert verify(folder)["files"] == 4
    data = bytearray((folder / "ids.bin").read_bytes())
    data[0] ^= 1
    (folder / "ids.bin").write_bytes(bytes(data))
    with pytest.raises(KormoError, match=r"ids\.bin"):
        verify(folder)


# ---- the order


@given(shares=st.tuples(st.integers(1, 9), st.integers(1, 9)), batch=st.integers(1, 9), steps=st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_shares_are_exact_at_every_step_and_epochs_are_whole(
    two_sources: dict[str, Path], shares: tuple[int, int], batch: int, steps: int
) -> None:
    weights = dict(zip(("en", "ko"), map(float, shares), strict=True))
    data = dataset(two_sources, steps, batch, weights)
    places = [data.locate(index) for index in range(len(data))]
    for step in range(1, steps + 1):
        drawn = Counter(source for source, _, _ in places[: step * batch])
        for source, name in enumerate(("en", "ko")):
            assert abs(drawn[source] - step * batch * weights[name] / sum(shares)) <= 1 + 1e-9
    for source, size in enumerate(data.sizes.tolist()):
        for epoch in {e for s, _, e in places if s == source}:
            seen = [place for s, place, e in places if (s, e) == (source, epoch)]
            assert len(seen) == len(set(seen)) <= size
    again = dataset(two_sources, steps, batch, weights)
    assert [again[i] for i in range(len(again))] == list(data)


def test_samples_carry_the_reference_of_their_pair(two_sources: dict[str, Path]) -> None:
    import numpy as np

    data = dataset(two_sources, 4, 3)
    assert "ref_chosen_logps" not in data[0]
    total = int(data.sizes.sum())
    data.reference = np.stack([np.arange(total), -np.arange(total)], axis=1).astype(np.float32)
    for index in range(len(data)):
        number = data.number(index)
        assert data[index]["ref_chosen_logps"] == number and data[index]["ref_rejected_logps"] == -number
    with pytest.raises(IndexError):
        data[len(data)]


def test_stages_are_refused(two_sources: dict[str, Path]) -> None:
    stages = [{"from_tokens": 10, "weights": {"en": 1, "ko": 0}}]
    recipe = MixtureRecipe(mixture={"name": "weighted", "weights": {"en": 1, "ko": 1}, "stages": stages})
    with pytest.raises(KormoError, match="counts pairs"):
        open_pairs(two_sources, recipe, seed=0, steps=2, global_batch=2)


@pytest.fixture(scope="module")
def two_sources(tmp_path_factory: pytest.TempPathFactory, chat_tokenizer: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return {
        "ko": built(folder, chat_tokenizer, "ko", pairs(13, language="ko")),
        "en": built(folder, chat_tokenizer, "en", pairs(7, language="en")),
    }
