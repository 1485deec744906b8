"""Muon: which parameters it has, that every other one is trained too, and that it stops and goes on like any other."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from kormo_plugins.errors import KormoError
from kormo_plugins.training.muon import MuonAdamW, matrices, owners
from kormo_plugins.training.precision import observe
from tests.forked import Server

from .harness import free_port, model, trainer

pytestmark = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on")


def with_muon(out: Path, *, steps: int = 4, masters: bool = False, **more: Any) -> Any:
    made = trainer(4, 2, steps=steps, masters=masters, out=str(out), **more)
    made.configure(dataclasses.replace(made.kormo, optimizer="muon"), made.objective, made._stop)
    return made


@pytest.mark.parametrize("masters", [False, True])
def test_matrices_are_muons_and_the_rest_is_trained_too(masters: bool, tmp_path: Path) -> None:
    """Five steps written out with torch's two optimizers, at the recipe's rate and decay; norms move too."""
    made = with_muon(tmp_path, steps=1, masters=masters)
    before = [parameter.detach().clone() for parameter in made.model.parameters()]
    made.train()
    assert all(not torch.equal(one, other) for one, other in zip(before, made.model.parameters(), strict=True))
    inner = made.optimizer.optimizer
    assert isinstance(inner, MuonAdamW)
    names = {id(p): name for name, p in made.model.named_parameters()}
    if masters:
        names = {id(m): names[id(w)] for w, m in zip(made.masters.working, made.masters.masters, strict=True)}
    muons = {names[id(p)] for group in inner._parts[0].param_groups for p in group["params"]}
    assert muons == {name for name in names.values() if "proj" in name}
    decays = {names[id(p)]: group["weight_decay"] for group in inner.param_groups for p in group["params"]}
    assert {name for name, decay in decays.items() if not decay} == {
        name for name in names.values() if "norm" in name or "embed" in name
    }
    assert set(observe(made.model, made.optimizer)["optimizer"]) == {"float32"}


def test_a_step_is_that_of_torchs_two_optimizers() -> None:
    def nets() -> Any:
        net = model().train()
        return net, dict(net.named_parameters())

    net, named = nets()
    other, theirs = nets()
    chosen = matrices(net)
    mine = MuonAdamW(
        [{"params": [p for p in named.values() if id(p) in chosen], "lr": 0.01, "weight_decay": 0.1}],
        [{"params": [p for p in named.values() if id(p) not in chosen], "lr": 0.01, "weight_decay": 0.0}],
    )
    split = [[p for n, p in theirs.items() if ("proj" in n) is inside] for inside in (True, False)]
    two = [
        torch.optim.Muon(split[0], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(split[1], lr=0.01, weight_decay=0.0, betas=(0.9, 0.95), fused=True),
    ]
    ids = torch.randint(0, 97, (2, 32), generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        for one, optimizers in ((net, [mine]), (other, two)):
            one(input_ids=ids, labels=ids).loss.backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    for one, same in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, same)


@pytest.mark.parametrize("masters", [False, True])
def test_a_resumed_run_is_the_same_to_the_bit(masters: bool, tmp_path: Path) -> None:
    whole = with_muon(tmp_path, masters=masters, save_strategy="steps", save_steps=2)
    whole.train()
    again = with_muon(tmp_path / "again", masters=masters)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for one, other in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_without_a_matrix_it_is_refused() -> None:
    with pytest.raises(KormoError, match="no matrix to train"):
        MuonAdamW([], [])


def test_the_matrices_are_shared_evenly() -> None:
    layer = [(64, 64), (16, 64), (16, 64), (64, 64), (256, 64), (256, 64), (64, 256)]
    for ranks in (1, 2, 3, 8):
        chosen = owners(layer * 8, ranks)
        work = [0] * ranks
        for shape, rank in zip(layer * 8, chosen, strict=True):
            work[rank] += min(shape) ** 2 * max(shape)
        assert max(work) < 1.15 * sum(work) / ranks
    assert owners([(4, 4)], 8) == [0]


def share_steps() -> None:
    """One of several ranks: three steps shared with the others, and the same steps taken whole; equal to the bit."""
    torch.distributed.init_process_group("gloo")
    ids = torch.randint(0, 97, (2, 32), generator=torch.Generator().manual_seed(1))
    taken: list[int] = []
    step = torch.optim.Muon.step

    def counted(muon: torch.optim.Muon) -> None:
        taken.append(sum(len(group["params"]) for group in muon.param_groups))
        step(muon)

    torch.optim.Muon.step = counted  # type: ignore[method-assign, assignment]
    kept = []
    for shared in (True, False):
        torch.distributed.is_initialized = lambda answer=shared: answer  # type: ignore[misc]
        net = model().train()
        chosen = matrices(net)
        split = [[p for p in net.parameters() if (id(p) in chosen) is inside] for inside in (True, False)]
        groups: list[dict[str, Any]] = [{"params": part, "lr": 0.01, "weight_decay": 0.1} for part in split]
        mine = MuonAdamW(groups[:1], groups[1:])
        for _ in range(3):
            net(input_ids=ids, labels=ids).loss.backward()
            mine.step()
            mine.zero_grad()
        kept.append([*net.parameters(), *(mine.state[p]["momentum_buffer"] for p in split[0])])
    assert all(torch.equal(one, other) for one, other in zip(*kept, strict=True))
    assert 0 < taken[0] < taken[3] == 14  # two layers of seven matrices


def test_ranks_that_share_a_step_take_the_whole_one(forks: Server) -> None:
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "3"}
    started = [
        forks.start("tests.training.test_muon:share_steps", ["test_muon.py"], Path.cwd(),
                    {**os.environ, **forks.environment, **where, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(3)
    ]  # fmt: skip
    for done in [child.completed(120) for child in started]:
        assert done.returncode == 0, done.stderr[-4000:]
