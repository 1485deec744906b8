"""The decoder: greedy answers are those of transformers, whatever shares the batch; draws belong to their prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.evaluation.generation.batches import Sampling, batches
from kormo_plugins.evaluation.mini import items
from kormo_plugins.evaluation.models import checkpoint as models


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Any:
    from kormo_plugins.evaluation.models.model import Model
    from kormo_plugins.plugins.registry import registry

    models.register(registry())
    return Model(checkpoint, batch_size=4, device="cpu")


def decoder(model: Any, ends: frozenset[int], positions: int | None = None) -> Any:
    from kormo_plugins.evaluation.generation.decode import Decoder

    return Decoder(model.model, model.tokenizer.decode, ends, 0, positions)


def prompts(model: Any, count: int = 24) -> list[list[int]]:
    """Of very different lengths."""
    texts = [item["text"] * (1 + n % 4) for n, item in enumerate(items("reading", "ko", count))]
    return [model.tokenizer.encode(text)[: 5 + 7 * n] for n, text in enumerate(texts)]


def test_batches_are_by_length_and_hold_every_prompt_once() -> None:
    lengths = [3, 90, 4, 50, 4, 1]
    found = list(batches(lengths, 10, 120))
    assert sorted(place for rows in found for place in rows) == list(range(6))
    assert all(len(rows) * (max(lengths[r] for r in rows) + 10) <= 120 or len(rows) == 1 for rows in found)
    assert [lengths[rows[0]] for rows in found] == sorted((lengths[rows[0]] for rows in found), reverse=True)
    assert [len(rows) for rows in batches([1] * 5, 1, 10**6, max_rows=2)] == [2, 2, 1]


@pytest.mark.parametrize("shared", [0, 40], ids=["apart", "one beginning"])
@pytest.mark.parametrize("positions", [200, 10**6], ids=["rows apart", "all in one batch"])
def test_greedy_answers_are_those_of_transformers(model: Any, positions: int, shared: int) -> None:
    """With many ends, so that rows leave the batch early and at different steps; what all prompts begin with is read
    once."""
    import torch

    ends = frozenset(range(0, 400, 9))
    asked = [[*range(10, 10 + shared), *prompt] for prompt in prompts(model)]
    written = dict(decoder(model, ends, positions).write(asked, Sampling(max_tokens=24)))
    lengths = set()
    for place, prompt in enumerate(asked):
        ids = torch.tensor([prompt])
        whole = model.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, eos_token_id=sorted(ends),
            pad_token_id=0,
        )[0, len(prompt) :].tolist()  # fmt: skip
        assert written[place].ids == whole
        assert written[place].ended == (whole[-1] in ends)
        lengths.add(len(whole))
    assert len(lengths) > 3


def test_what_is_shared_or_padded_is_not_read_again(model: Any) -> None:
    """Tokens that go through the model for prompts of one beginning, very different in length."""
    import torch
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    from kormo_plugins.evaluation.generation.keys import grouped_queries, read

    seen, lengths = [], [90, 88, 86, 84, 82, 80, 79, 78, 9, 9, 8, 8, 7, 6, 5, 4]
    prompts = [[*range(30), *([7 + n] * length)] for n, length in enumerate(lengths)]
    hook = model.model.get_input_embeddings().register_forward_hook(lambda *what: seen.append(what[1][0].numel()))
    with torch.inference_mode(), grouped_queries():
        state = read(model.model, prompts, 4, 0)
        state.step(model.model, state.logits.argmax(dim=-1))
    hook.remove()
    assert seen == [30, 8 * 90, 8 * 9, 16]
    assert "sdpa" in ALL_ATTENTION_FUNCTIONS and ALL_ATTENTION_FUNCTIONS["sdpa"].__module__.startswith("transformers")


def test_draws_belong_to_the_prompt_and_not_to_the_batch(model: Any) -> None:
    asked, sampling = prompts(model, 8), Sampling(max_tokens=12, temperature=1.0, top_p=0.9, seed=3)
    together = dict(decoder(model, frozenset({1})).write(asked, sampling))
    alone = [next(iter(decoder(model, frozenset({1})).write([one], sampling)))[1] for one in asked]
    assert [together[n].ids for n in range(8)] == [one.ids for one in alone]
    twice = dict(decoder(model, frozenset({1})).write([asked[0], asked[0]], sampling))
    assert twice[0].ids == alone[0].ids != twice[1].ids, "a prompt that is asked twice gets two draws"
    other = dict(decoder(model, frozenset({1})).write(asked, Sampling(max_tokens=12, temperature=1.0, seed=4)))
    assert [one.ids for one in other.values()] != [one.ids for one in together.values()]


def test_top_p_draws_only_from_the_head(model: Any) -> None:
    """A head of nothing but the likeliest token is greedy."""
    asked = prompts(model, 4)
    greedy = dict(decoder(model, frozenset({1})).write(asked, Sampling(max_tokens=8)))
    narrow = dict(decoder(model, frozenset({1})).write(asked, Sampling(max_tokens=8, temperature=1.0, top_p=1e-6)))
    assert [greedy[n].ids for n in range(4)] == [narrow[n].ids for n in range(4)]


def test_texts_are_the_harnesss_own(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop words, cut prompts and answers without a stop word; in the order of the requests."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    texts = [item["text"] for item in items("choice", "en", 12)]
    kwargs = [{"until": [" ", "\n"], "max_gen_toks": 20}, {"until": [], "max_gen_toks": 9, "do_sample": False}]
    requests = [
        Instance(request_type="generate_until", doc={}, arguments=(text * (1 + n % 3), kwargs[n % 2]), idx=n)
        for n, text in enumerate(texts)
    ]
    ours = model.generate_until(requests)
    assert ours == HFLM.generate_until(model, requests, disable_tqdm=True)
    assert len(set(ours)) > 6
