"""Checkpointing of some layers: those and no others, with the numbers of none."""

from __future__ import annotations

import pytest
import torch

from .harness import trainer


@pytest.mark.parametrize("layers", [1, 5])
def test_the_first_layers_are_checkpointed_and_the_weights_are_the_same(layers: int) -> None:
    import dataclasses

    from kormo_plugins.training.checkpointed_layers import counted

    plain = trainer(4, 1, steps=2)
    plain.train()
    some = trainer(4, 1, steps=2, gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False})
    some.configure(dataclasses.replace(some.kormo, checkpointed_layers=layers), some.objective, some._stop)
    some.train()
    whole = len(some.model.model.layers)
    on = [bool(layer.gradient_checkpointing) for layer in some.model.model.layers]
    assert on == [place < layers for place in range(whole)] and counted(some.model) == min(layers, whole)
    for one, other in zip(plain.model.parameters(), some.model.parameters(), strict=True):
        assert torch.equal(one, other)
