"""bfloat16 weights with float32 masters, without DeepSpeed: the arithmetic, the checkpoint, two ranks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from kormo_plugins.errors import KormoError
from kormo_plugins.training.precision import cast_weights, observe
from kormo_plugins.training.settings import Precision
from tests.forked import Server

from .harness import Collator, Rows, model, ranks, trainer


def weights(made: Any) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in made.model.parameters()]


def by_hand(steps: int, micro: int, accumulation: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Masters and weights after the same training, written out: gradients of each micro-batch summed in float32."""
    from kormo_plugins.training import one_pass

    net = model().train()
    cast_weights(net, Precision("bfloat16", "bfloat16", "float32", "float32"))  # and no buffer, as RoPE's
    one_pass.install(net)
    named = dict(net.named_parameters())
    masters = {name: torch.nn.Parameter(p.detach().float()) for name, p in named.items()}
    decayed = [masters[n] for n in named if "norm" not in n and "embed" not in n]
    others = [masters[n] for n in named if "norm" in n or "embed" in n]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, fused=True)  # transformers' default
    data, collate = Rows(), Collator()
    for step in range(steps):
        rows = [data[i] for i in range(step * micro * accumulation, (step + 1) * micro * accumulation)]
        parts = [collate(rows[i : i + micro]) for i in range(0, len(rows), micro)]
        items = sum(int((part["labels"][:, 1:] != -100).sum()) for part in parts)
        for part in parts:
            net.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = net(**part, num_items_in_batch=torch.tensor(items)).loss
            loss.backward()
            for name, parameter in named.items():
                grad = parameter.grad.float()
                masters[name].grad = grad if masters[name].grad is None else masters[name].grad + grad
        torch.nn.utils.clip_grad_norm_([*decayed, *others], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        for name, parameter in named.items():
            parameter.data.copy_(masters[name].detach())
    return [m.detach() for m in masters.values()], [p.detach() for p in named.values()]


def test_a_step_is_the_one_written_out() -> None:
    made = trainer(2, 2, steps=3, masters=True, max_grad_norm=1.0)
    made.train()
    masters, working = by_hand(3, 2, 2)
    for one, other in zip(weights(made), working, strict=True):
        assert one.dtype == torch.bfloat16 and torch.equal(one, other)
    held = {id(w): m for w, m in zip(made.masters.working, made.masters.masters, strict=True)}
    for parameter, other in zip(made.model.parameters(), masters, strict=True):
        assert torch.equal(held[id(parameter)], other)
        assert not torch.equal(other, other.bfloat16().float()), "nothing was kept that bfloat16 would lose"
    assert all(line["grad_norm"] > 0 for line in made.state.log_history if "loss" in line)
    seen = observe(made.model, made.optimizer)
    assert [set(seen[key]) for key in ("weights", "master", "optimizer")] == [{"bfloat16"}, {"float32"}, {"float32"}]


def test_a_resumed_run_is_the_same_to_the_bit(tmp_path: Path) -> None:
    whole = trainer(4, 2, steps=4, masters=True, out=str(tmp_path), save_strategy="steps", save_steps=2)
    whole.train()
    again = trainer(4, 2, steps=4, masters=True, out=str(tmp_path / "again"))
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert again.masters.loaded
    for one, other in zip(again.masters.masters, whole.masters.masters, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(weights(again), weights(whole), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_without_masters_is_no_beginning(tmp_path: Path) -> None:
    plain = trainer(4, 2, steps=2, bf16=True, out=str(tmp_path), save_strategy="steps", save_steps=1)
    plain.model.to(torch.bfloat16)
    plain.kormo.__dict__["precision"] = dataclasses.replace(
        plain.kormo.precision, weights="bfloat16", compute="bfloat16", optimizer="bfloat16"
    )
    plain.train()
    again = trainer(4, 2, steps=2, masters=True, out=str(tmp_path / "again"))
    with pytest.raises(KormoError, match="no master weights"):
        again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_two_ranks_take_the_step_of_one(tmp_path: Path, forks: Server) -> None:
    one = trainer(4, 2, steps=4, masters=True)
    one.train()
    alone = [line for line in one.state.log_history if "loss" in line]
    both = ranks(2, {"micro": 4, "accumulation": 1, "steps": 4, "masters": True}, tmp_path, forks)
    for rank in both:
        assert rank["loss"] == pytest.approx([line["loss"] for line in alone], rel=2e-3)
        assert rank["grad_norm"] == pytest.approx([line["grad_norm"] for line in alone], rel=1e-2)
