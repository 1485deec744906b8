"""Output layer and loss in one pass: the numbers of torch, each token's loss beside them, and no model by mistake."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from kormo_plugins.kernels import chunks
from kormo_plugins.kernels.chunks import chunk_tokens
from kormo_plugins.kernels.one_pass_loss import IGNORE, token_losses
from kormo_plugins.training import one_pass

from .harness import model

TOKENS, WIDTH, VOCAB = 53, 24, 150


def made(dtype: torch.dtype, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States, weights (both to be differentiated) and targets, a fifth of which is not predicted."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(TOKENS, WIDTH, generator=generator).to(dtype).requires_grad_()
    weight = (0.5 * torch.randn(VOCAB, WIDTH, generator=generator)).to(dtype).requires_grad_()
    targets = torch.randint(0, VOCAB, (TOKENS,), generator=generator)
    targets[::5] = IGNORE
    return states, weight, targets


@pytest.mark.parametrize("budget", [16 * VOCAB * 4, 1 << 30])
@pytest.mark.parametrize("whole", [0, 1 << 30])
def test_loss_and_gradients_are_torchs(budget: int, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With chunks that do not divide the tokens, and with a single one; where all logits are kept and one product makes
    them, to the bit. (The products of fewer rows may be summed in another order: that depends on the processor.)"""
    monkeypatch.setitem(chunks.CHUNK_BYTES, "cpu", budget)
    monkeypatch.setattr(chunks, "WHOLE_BYTES", whole)
    states, weight, targets = made(torch.float32)
    total, losses = token_losses(states, weight, targets, 1 / torch.tensor(40))
    total.backward()
    ours = (total.detach(), losses, states.grad, weight.grad)
    states.grad = weight.grad = None
    each = cross_entropy(states @ weight.T, targets, ignore_index=IGNORE, reduction="none")
    plain = cross_entropy(states @ weight.T, targets, ignore_index=IGNORE, reduction="sum") / torch.tensor(40)
    plain.backward()
    if whole and budget >= TOKENS * VOCAB * 4:
        assert torch.equal(ours[2], states.grad) and torch.equal(ours[3], weight.grad)
    for one, other in zip(ours, (plain, each, states.grad, weight.grad), strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=1e-6, atol=1e-6)
    assert not losses.requires_grad and losses[0] == 0


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_in_bfloat16_the_weights_gradient_is_summed_in_float32(weights: torch.dtype, monkeypatch: Any) -> None:
    """Autocast and bfloat16 weights, 4 chunks, against float64 on the same rounded numbers: errors stay those of one
    rounding of the products, and the gradient has the parameter's dtype."""
    monkeypatch.setitem(chunks.CHUNK_BYTES, "cpu", 16 * VOCAB * 2)
    monkeypatch.setattr(chunks, "WHOLE_BYTES", 0)
    states, weight, targets = made(weights)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=weights == torch.float32):
        total, _ = token_losses(states, weight, targets, 0.025)
    (3 * total).backward()
    exact = [t.detach().bfloat16().double().requires_grad_() for t in (states, weight)]
    plain = 0.025 * cross_entropy(exact[0] @ exact[1].T, targets, ignore_index=IGNORE, reduction="sum")
    (3 * plain).backward()
    assert total.item() == pytest.approx(plain.item(), rel=3e-3)
    for ours, reference in zip((states, weight), exact, strict=True):
        assert ours.grad is not None and reference.grad is not None and ours.grad.dtype == ours.dtype
        assert (ours.grad.double() - reference.grad).norm() < 0.01 * reference.grad.norm()


def test_without_gradients_none_are_made_and_they_are_given_out_once() -> None:
    states, weight, targets = made(torch.float32)
    with torch.no_grad():
        assert not token_losses(states, weight, targets, 1.0)[0].requires_grad
    frozen = weight.detach()
    token_losses(states, frozen, targets, 1.0)[0].backward()
    assert states.grad is not None and frozen.grad is None
    total, _ = token_losses(states, weight, targets, 1.0)
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="backward was already called"):
        total.backward()


def test_a_chunk_fits_its_budget() -> None:
    assert chunk_tokens(4096, 4224, 4) == 256
    assert chunk_tokens(16384, 125184, 2, "cuda") == 2048
    assert chunk_tokens(10, 4224, 4) == 10
    assert chunk_tokens(4096, 10**9, 4) == 16


def test_a_model_that_fits_gives_the_same_step() -> None:
    ids = torch.randint(0, 97, (2, 32), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[0, :9] = IGNORE
    inputs = {"input_ids": ids, "labels": labels}
    plain, ours = model().train(), model().train()
    assert one_pass.install(ours) and one_pass.install(ours)
    for extra in ({}, {"num_items_in_batch": torch.tensor(77)}):
        one, other = plain(**inputs, **extra), ours(**inputs, **extra)
        assert other.loss.item() == pytest.approx(one.loss.item(), rel=1e-6) and other.logits is None
        one.loss.backward()
        other.loss.backward()
    for mine, reference in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine.grad, reference.grad)
    each = cross_entropy(plain(ids).logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="none")
    torch.testing.assert_close(other.token_losses[:, 1:].flatten(), each.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(ours.eval()(**inputs).logits, plain.eval()(**inputs).logits)
    assert ours.train()(ids).logits is not None, "without labels the forward is the model's own"


def test_only_a_forward_that_is_known_is_replaced() -> None:
    strange = model()
    strange.lm_head = torch.nn.Linear(16, 97, bias=True)
    assert not one_pass.install(strange) and strange(torch.zeros(1, 4, dtype=torch.int64)).logits is not None
    derived = type("Softcapped", (type(strange),), {"forward": lambda self, **kwargs: None})
    assert not one_pass.fits(derived(model().config))


def test_the_known_forwards_do_one_thing() -> None:
    """transformers' are the same code, so none adds a loss or a cap; Liger's is the one that its patch puts there."""
    codes = set()
    for module, name in one_pass.KNOWN - {one_pass.LIGER}:
        cls, _, attribute = name.partition(".")
        code = inspect.unwrap(getattr(getattr(importlib.import_module(module), cls), attribute)).__code__
        codes.add((code.co_code, code.co_names))
    assert len(codes) == 1
    liger = importlib.import_module(one_pass.LIGER[0])
    assert inspect.unwrap(getattr(liger, one_pass.LIGER[1])).__qualname__ == one_pass.LIGER[1]
