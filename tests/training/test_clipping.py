"""Clipping in the step of a fused optimizer: the arithmetic, the trainer with it and without, resume, two ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils import clip_grad_norm_, get_total_norm

from kormo_plugins.errors import KormoError
from kormo_plugins.training import trainer as module
from kormo_plugins.training.clipping import EPSILON, FusedClipping, fusable, total_norm
from kormo_plugins.training.muon import MuonAdamW
from tests.forked import Server

from .harness import ranks, trainer

BOUND = 1.0
SHAPES = ((300, 257), (100, 33), (7,))


def made(fused: bool = True, kind: Any = torch.optim.AdamW, **options: Any) -> tuple[list[torch.nn.Parameter], Any]:
    """Parameters and an optimizer over them, the same each time."""
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    return parameters, kind(parameters, lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1, fused=fused, **options)


def gradients(step: int, size: float | None = None) -> list[torch.Tensor]:
    """Norms of about 840 and 0.28 by turns."""
    generator = torch.Generator().manual_seed(100 + step)
    scale = size or (3.0 if step % 2 else 0.001)
    return [scale * torch.randn(shape, generator=generator) for shape in SHAPES]


def trained(how: str, steps: int = 20) -> tuple[list[torch.Tensor], list[float]]:
    """Parameters and moments after `steps`, and the norms."""
    parameters, optimizer = made()
    clipping, norms = FusedClipping(optimizer), []
    for step in range(steps):
        for parameter, gradient in zip(parameters, gradients(step), strict=True):
            parameter.grad = gradient
        if how == "fused":
            norms.append(float(clipping.clip(parameters, BOUND)))
        elif how == "pass":
            norms.append(float(clip_grad_norm_(parameters, BOUND)))
        else:
            norms.append(float(total_norm(parameters)))
            scale = ((total_norm(parameters) + EPSILON) / BOUND).clamp(min=1)
            for parameter in parameters:
                parameter.grad /= scale
        optimizer.step()
    state = [optimizer.state[parameter] for parameter in parameters]
    moments = [one[name] for one in state for name in ("exp_avg", "exp_avg_sq")]
    return [*(parameter.detach() for parameter in parameters), *moments], norms


def test_a_step_divides_while_it_reads() -> None:
    """The same bits as a division before the step; within rounding, those of torch's clipping."""
    fused, norms = trained("fused")
    divided, same_norms = trained("divided")
    assert norms == same_norms and max(norms) > 100 and min(norms) < BOUND
    for one, other in zip(fused, divided, strict=True):
        assert torch.equal(one, other)
    clipped, torch_norms = trained("pass")
    assert norms == torch_norms
    for one, other in zip(fused, clipped, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-6, atol=2e-7)


def test_nothing_is_written_before_the_step_and_no_scale_outlives_it() -> None:
    parameters, optimizer = made()
    clipping = FusedClipping(optimizer)
    for parameter, gradient in zip(parameters, gradients(1), strict=True):
        parameter.grad = gradient.clone()
    clipping.clip(parameters, BOUND)
    for parameter, gradient in zip(parameters, gradients(1), strict=True):
        assert torch.equal(parameter.grad, gradient)
    assert float(optimizer.grad_scale) > 100
    optimizer.step()
    assert optimizer.grad_scale is None
    assert float(get_total_norm([p.grad for p in parameters])) == pytest.approx(BOUND, rel=1e-5)


def test_below_the_bound_no_bit_changes() -> None:
    (one, first), (other, second) = made(), made()
    clipping = FusedClipping(first)
    for step in range(5):
        for parameters in (one, other):
            for parameter, gradient in zip(parameters, gradients(step, 0.001), strict=True):
                parameter.grad = gradient
        clipping.clip(one, BOUND)
        first.step()
        second.step()
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_gradient_breaks_as_much_as_with_torch(bad: float) -> None:
    (one, first), (other, second) = made(), made()
    for parameters in (one, other):
        for parameter, gradient in zip(parameters, gradients(1), strict=True):
            parameter.grad = gradient
        parameters[1].grad[3, 3] = bad
    norm = FusedClipping(first).clip(one, BOUND)
    assert torch.equal(norm, clip_grad_norm_(other, BOUND)) or (norm.isnan() and bad != bad)
    first.step()
    second.step()
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.isnan(), b.isnan())


def test_what_cannot_scale_in_its_step_is_not_asked_to() -> None:
    assert fusable(made()[1]) and fusable(made(kind=torch.optim.Adam)[1])
    assert not fusable(made(fused=False)[1])
    assert not fusable(torch.optim.AdamW(torch.nn.Linear(2, 2, device="meta").parameters(), fused=False))
    if hasattr(torch.optim, "Muon"):
        matrix, vector = torch.nn.Parameter(torch.zeros(3, 3)), torch.nn.Parameter(torch.zeros(3))
        groups = ([{"params": [one], "lr": 0.1, "weight_decay": 0.1}] for one in (matrix, vector))
        assert not fusable(MuonAdamW(*groups))

    class Other(torch.optim.AdamW):
        """A step of its own may not know the scale."""

    assert not fusable(made(kind=Other)[1])


def logged(run: Any, key: str) -> list[float]:
    return [line[key] for line in run.state.log_history if "loss" in line]


@pytest.mark.parametrize("masters", [False, True])
def test_a_run_is_that_of_torchs_clipping(masters: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = trainer(2, 2, steps=6, masters=masters, max_grad_norm=0.05)
    ours.train()
    assert ours.fused_clipping is not None and min(logged(ours, "grad_norm")) > 0.05
    monkeypatch.setattr(module, "fusable", lambda optimizer: False)
    theirs = trainer(2, 2, steps=6, masters=masters, max_grad_norm=0.05)
    theirs.train()
    assert theirs.fused_clipping is None
    assert logged(ours, "grad_norm")[0] == logged(theirs, "grad_norm")[0]
    for key in ("grad_norm", "loss"):
        assert logged(ours, key) == pytest.approx(logged(theirs, key), rel=2e-4 if masters else 2e-5)


def test_without_a_bound_the_norm_is_read_and_no_gradient_written(monkeypatch: pytest.MonkeyPatch) -> None:
    free = trainer(2, 2, steps=3, max_grad_norm=0.0)
    free.train()
    monkeypatch.setattr(module, "fusable", lambda optimizer: False)
    other = trainer(2, 2, steps=3, max_grad_norm=0.0)
    other.train()
    assert logged(free, "grad_norm") == logged(other, "grad_norm") and logged(free, "loss") == logged(other, "loss")


@pytest.mark.parametrize("masters", [False, True])
def test_a_resumed_run_is_the_same_to_the_bit(masters: bool, tmp_path: Path) -> None:
    clipped: dict[str, Any] = {"masters": masters, "max_grad_norm": 0.05}
    whole = trainer(4, 2, steps=4, out=str(tmp_path), save_strategy="steps", save_steps=2, **clipped)
    whole.train()
    again = trainer(4, 2, steps=4, out=str(tmp_path / "again"), **clipped)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert again.fused_clipping is not None
    for one, other in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_two_ranks_take_the_step_of_one(tmp_path: Path, forks: Server) -> None:
    alone = trainer(4, 2, steps=4, max_grad_norm=0.05)
    alone.train()
    for rank in ranks(2, {"micro": 4, "accumulation": 1, "steps": 4, "max_grad_norm": 0.05}, tmp_path, forks):
        for key in ("loss", "grad_norm"):
            assert rank[key] == pytest.approx(logged(alone, key), rel=1e-4)


def test_a_gradient_that_is_no_number_still_ends_the_run(tmp_path: Path) -> None:
    run = trainer(2, 2, steps=4, max_grad_norm=1.0, out=str(tmp_path))
    next(run.model.parameters()).register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(KormoError):
        run.train()
    assert all(bool(parameter.isfinite().all()) for parameter in run.model.parameters()), "a broken step was taken"
