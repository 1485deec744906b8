"""The needle in a haystack: prompts of exact length with the needle where it should be, and a scorer that gives full
marks to a model that copies and chance to one that guesses."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation.haystack import needle, needle_page
from kormo_plugins.evaluation.models.checkpoint import tokenizer_of

from .conftest import with_positions


class Copier:
    """Finds the longest suffix of the context that came before, and says what followed it."""

    def likelihoods(self, context: list[int], continuations: list[list[int]]) -> list[float]:
        return [float(self.write(context, len(one)) == one) for one in continuations]

    def write(self, context: list[int], tokens: int) -> list[int]:
        for size in range(min(12, len(context) - 1), 0, -1):
            tail = context[-size:]
            for start in range(len(context) - size - 1, -1, -1):
                if context[start : start + size] == tail:
                    return context[start + size : start + size + tokens]
        return [0] * tokens


class Guesser:
    """Likes anything."""

    def __init__(self) -> None:
        self.random = random.Random(5)

    def likelihoods(self, context: list[int], continuations: list[list[int]]) -> list[float]:
        return [self.random.random() for _ in continuations]

    def write(self, context: list[int], tokens: int) -> list[int]:
        return [self.random.randrange(400) for _ in range(tokens)]


def search(opened: Any, registry: Any, reader: Any, **more: Any) -> dict[str, Any]:
    return needle.search(opened, registry, reader=reader, say=lambda line: None, **more)


def test_a_model_that_copies_finds_them_all(opened: Any, registry: Any) -> None:
    found = search(opened, registry, Copier(), lengths=[160, 320], depths=[0, 50, 100])
    assert len(found["cells"]) == 2 * 2 * 3
    assert all(one["choice"] == 1.0 and one["generated"] == 1.0 for one in found["cells"])


def test_a_model_that_guesses_is_at_chance(opened: Any, registry: Any) -> None:
    """400 guesses of one in ten, within three standard errors."""
    found = search(opened, registry, Guesser(), lengths=[160, 200, 240, 280, 320], depths=list(range(0, 100, 10)))
    tries = len(found["cells"]) * found["tries"]
    share = sum(one["choice"] for one in found["cells"]) / len(found["cells"])
    assert tries == 400 and abs(share - 0.1) < 3 * (0.1 * 0.9 / tries) ** 0.5
    assert all(one["generated"] == 0.0 for one in found["cells"])


@pytest.mark.parametrize("language", ["ko", "en"])
def test_prompts(language: str, opened: Any) -> None:
    """Exactly as long as said, the same each time, with the needle once and at its depth."""
    tokenizer = tokenizer_of(opened.path)
    hay = tokenizer.encode("가나다 abc " * 400, add_special_tokens=False)
    for depth in (0, 40, 100):
        context, choices, right = needle.prompt(tokenizer, hay, language, 300, depth, 0)
        assert len(context) == 300 and len(choices) == 10
        assert (context, choices, right) == needle.prompt(tokenizer, hay, language, 300, depth, 0)
        text = tokenizer.decode(context)
        number = tokenizer.decode(choices[right])
        assert text.count(number.strip()) == 1
        share = text.index(number.strip()) / len(text)
        assert abs(share - depth / 100) < 0.25


def test_the_reader_scores_like_a_forward_pass(checkpoint: Path) -> None:
    """Likelihoods from the cache, in one batch and one by one, equal those of whole sequences."""
    import torch
    from transformers import AutoModelForCausalLM

    from kormo_plugins.evaluation.haystack import needle_reader

    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    context, choices = list(range(40, 90)), [[5, 6, 7], [8], [9, 10]]
    expected = []
    for one in choices:
        with torch.no_grad():
            logs = torch.log_softmax(model(torch.tensor([context + one])).logits[0].float(), dim=-1)
        expected.append(sum(float(logs[len(context) - 1 + k, token]) for k, token in enumerate(one)))
    reader = needle_reader.TransformersReader(checkpoint, "cpu")
    assert reader.likelihoods(context, choices) == pytest.approx(expected, abs=1e-4)
    greedy = model.generate(torch.tensor([context]), max_new_tokens=4, do_sample=False, eos_token_id=None)
    assert reader.write(context, 4) == greedy[0, len(context) :].tolist()
    before, needle_reader.COPIED = needle_reader.COPIED, 1
    try:
        assert reader.likelihoods(context, choices) == pytest.approx(expected, abs=1e-4)
    finally:
        needle_reader.COPIED = before


def test_the_users_own_text(opened: Any, registry: Any, tmp_path: Path) -> None:
    path = tmp_path / "hay.jsonl"
    path.write_text('{"text": "' + "a b c " * 200 + '"}\n')
    found = search(opened, registry, Copier(), lengths=[200], depths=[50], haystack=path)
    assert found["haystack"] == str(path)
    with pytest.raises(KormoError, match="tokens of text"):
        path.write_text('{"text": "short"}\n')
        search(opened, registry, Copier(), lengths=[200], haystack=path)


@pytest.mark.parametrize(
    ("lengths", "depths", "told"),
    [
        ([1000], [50], "512 positions"),
        ([20], [50], "alone fill this length"),
        ([200], [101], "a depth is a percentage"),
    ],
)
def test_lengths_and_depths_that_cannot_be(
    lengths: Sequence[int], depths: Sequence[int], told: str, opened: Any, registry: Any
) -> None:
    with pytest.raises(KormoError, match=told):
        search(with_positions(opened, 512), registry, Copier(), lengths=lengths, depths=depths)


def test_the_page_holds_everything(opened: Any, registry: Any, tmp_path: Path) -> None:
    """Both languages and both scores; nothing outside of the page is named, but in the plotting library's own code."""
    found = search(opened, registry, Copier(), lengths=[160, 320], depths=[0, 100])
    found["haystack"] = "<script>alert(1)</script>"
    needle_page.write(found, tmp_path / "needle.html")
    text = (tmp_path / "needle.html").read_text()
    assert "Korean: right number most likely of ten" in text and "English: right number written" in text
    assert "<script>alert(1)" not in text and "<script src" not in text
    assert "://" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
