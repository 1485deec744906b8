"""The monitors of what a model writes: the measures mean what they say, and looking changes nothing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kormo_plugins.monitoring.collapse import Collapse, Continuation, generate, measures, repetition, script_share
from kormo_plugins.monitoring.held_out import HeldOut
from kormo_plugins.monitoring.monitor import RunView
from kormo_plugins.monitoring.params import CollapseParams, HeldOutParams
from kormo_plugins.runs.monitors import _log
from tests.training.harness import VOCAB, model

from .test_held_out import texts

PROMPTS = [[5, 6, 7, 8, 9], [5], [11, 12, 13]]


def reference(net: Any, prompts: list[list[int]], tokens: int, temperature: float, seed: int) -> list[list[int]]:
    """One prompt at a time, no cache, no padding; the same random numbers."""
    dice = torch.Generator().manual_seed(seed)
    points = [torch.rand(len(prompts), 1, generator=dice, dtype=torch.float64)[:, 0] for _ in range(tokens)]
    found = []
    for row, prompt in enumerate(prompts):
        ids = list(prompt)
        for turn in range(tokens):
            logits = net(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float()
            below = (logits / temperature).softmax(-1).double().cumsum(-1)
            ids.append(int((below < points[turn][row]).sum()))
        found.append(ids[len(prompt) :])
    return found


def test_prompts_of_any_length_are_continued_as_if_each_were_alone() -> None:
    net = model().eval()
    with torch.no_grad():
        found, entropy = generate(net, PROMPTS, 12, temperature=0.7, seed=3, eos=1, pad=0)
        assert found == reference(net, PROMPTS, 12, 0.7, 3)
        again, _ = generate(net, PROMPTS, 12, temperature=0.7, seed=3, eos=1, pad=0)
        other, _ = generate(net, PROMPTS, 12, temperature=0.7, seed=4, eos=1, pad=0)
    assert again == found != other
    assert all(0 < bits <= math.log2(VOCAB) + 1e-4 for row in entropy for bits in row)


class Always(torch.nn.Module):
    """Gives every token the same chance, or all of it to one."""

    def __init__(self, token: int | None) -> None:
        super().__init__()
        self.weight, self.token = torch.nn.Parameter(torch.zeros(1)), token

    def forward(self, input_ids: Any, **kwargs: Any) -> Any:
        logits = torch.zeros(*input_ids.shape, VOCAB)
        if self.token is not None:
            logits[..., self.token] = 1e4
        return SimpleNamespace(logits=logits, past_key_values=None)


def test_entropy_is_that_of_the_distribution() -> None:
    _, uniform = generate(Always(None), PROMPTS, 3, temperature=0.5, seed=0, eos=1, pad=0)
    sure, none = generate(Always(4), PROMPTS, 3, temperature=0.5, seed=0, eos=1, pad=0)
    assert torch.tensor(uniform).allclose(torch.tensor(math.log2(VOCAB)), atol=1e-4)
    assert sure == [[4, 4, 4]] * 3 and torch.tensor(none).abs().max() < 1e-6


def test_repetition_counts_runs_that_were_there_before() -> None:
    assert repetition(range(20)) == 0.0 and repetition([1, 2]) == 0.0
    assert repetition([7] * 13) == pytest.approx(0.9)
    assert repetition([1, 2, 3, 4, 5, 1, 2, 3, 4]) == pytest.approx(1 / 6)


def test_letters_are_counted_by_script() -> None:
    assert script_share(["서울은 Seoul 12!"], "ko") == pytest.approx(3 / 8)
    assert script_share(["서울은 Seoul"], "en") == pytest.approx(5 / 8)
    assert script_share(["가나다"], "ko-KR") == 1.0
    assert script_share(["123 …"], "ko") is None


def test_the_same_text_again_is_seen_as_collapse() -> None:
    def written(given: list[str]) -> list[Continuation]:
        return [Continuation("en", "p", list(range(9)), True, [1.0], text) for text in given]

    various = measures("en", written(["a dog ran over the hill", "we saw three red birds", "rain fell on old roofs"]))
    same = measures("en", written(["a dog ran over the hill"] * 3))
    assert same["self_bleu"] > 0.99 > 0.3 > various["self_bleu"]
    assert same["distinct_2"] == pytest.approx(1 / 3) and various["distinct_2"] == 1.0


HEALTHY = [
    Continuation("ko", "p", list(range(n, n + 12)), True, [5.0, 6.0], text)
    for n, text in ((0, "강가에 새 세 마리가 앉아 있었다"), (20, "어제는 비가 와서 집에서 책을 읽었다"),
                    (40, "할머니는 장에서 사과와 배를 사 오셨다"))
]  # fmt: skip


def spoiled(**change: Any) -> list[Continuation]:
    return [replace(one, **change) for one in HEALTHY]


@pytest.mark.parametrize(
    ("measure", "worse", "written"),
    [
        ("distinct_2", "lower", spoiled(text=HEALTHY[0].text)),
        ("distinct_4", "lower", spoiled(text="비가 와서 비가 와서 비가 와서 비가 와서 비가 와서")),
        ("self_bleu", "higher", spoiled(text=HEALTHY[0].text)),
        ("repetition", "higher", spoiled(ids=[7, 8, 9, 7, 8, 9, 7, 8, 9, 7, 8, 9])),
        ("entropy", "lower", spoiled(entropy=[0.1, 0.2])),
        ("right_script", "lower", spoiled(text="강가에 three birds 가 sat there")),
        ("length", "higher", spoiled(ids=list(range(48)))),
        ("length", "lower", spoiled(ids=[1])),
        ("ended", "lower", spoiled(ended=False)),
    ],
)
def test_each_measure_moves_the_right_way(measure: str, worse: str, written: list[Continuation]) -> None:
    """And each sees its own kind of decay: what is spoiled is one thing of the healthy texts."""
    before, after = measures("ko", HEALTHY)[measure], measures("ko", written)[measure]
    assert (after < before - 0.2) if worse == "lower" else (after > before + 0.2)
    unmoved = {"text": ("repetition", "entropy", "length", "ended"), "ids": ("self_bleu", "entropy", "right_script")}
    changed = next(name for name in ("text", "ids", "entropy", "ended")
                   if getattr(written[1], name) != getattr(HEALTHY[1], name))  # fmt: skip
    for name in unmoved.get(changed, ("self_bleu", "repetition", "right_script")):
        assert measures("ko", written)[name] == measures("ko", HEALTHY)[name], name


class Words:
    """A tokenizer of numbers."""

    def encode(self, text: str, add_special_tokens: bool = False) -> Any:
        return SimpleNamespace(ids=[2 + len(word) for word in text.split()])

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return " ".join(map(str, ids))


def trained(out: Path, watched: bool) -> Any:
    """A run of 6 steps with dropout, so that it depends on the random state; watched at steps 0, 2, 4 and 6."""
    from tests.training.harness import trainer

    made = trainer(2, 1, steps=6, out=str(out))
    for module in made.model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.3
    if watched:
        view = RunView(out, None, special={"bos": 1, "eos": 2, "pad": 0}, sequence_len=32, micro_batch_size=2,
                       log=lambda values: _log(made, values))  # fmt: skip
        held, collapse = HeldOut(HeldOutParams(every_steps=2)), Collapse(CollapseParams(every_steps=2, tokens=6))
        held.texts, collapse.tokenizer = texts([5, 40, 9]), Words()
        for monitor in (held, collapse):
            monitor.run = view
            made.add_callback(monitor)
    made.train()
    return made


def test_a_run_that_is_looked_at_ends_with_the_same_weights(tmp_path: Path) -> None:
    plain, watched = trained(tmp_path / "a", False), trained(tmp_path / "b", True)
    for (name, one), (_, other) in zip(
        plain.model.state_dict().items(), watched.model.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name
    logs = watched.state.log_history
    losses = [line["loss"] for line in logs if "loss" in line]
    assert losses == [line["loss"] for line in plain.state.log_history if "loss" in line] and len(losses) == 6
    looked = [line["step"] for line in logs if "held_out/bits_per_byte" in line]
    assert looked == [0, 2, 4, 6] == [line["step"] for line in logs if "collapse/entropy/ko" in line]
    samples = [json.loads(line) for line in (tmp_path / "b" / "samples.jsonl").read_text().splitlines()]
    assert {line["language"] for line in samples} == {"ko", "en"} and len(samples) == 4 * 6
