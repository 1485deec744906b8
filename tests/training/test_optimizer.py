"""Norms and embeddings are not decayed; lm_head is."""

from __future__ import annotations

import pytest

from kormo_plugins.training.optimizer import decayed_parameters, parameter_groups
from kormo_plugins.training.settings import Decay

from .harness import model, trainer


def test_kormos_rule() -> None:
    made = model()
    decayed = set(decayed_parameters(made, Decay()))
    everything = {name for name, _ in made.named_parameters()}
    assert everything - decayed == {n for n in everything if "norm" in n} | {"model.embed_tokens.weight"}
    assert "lm_head.weight" in decayed


def test_each_exclusion_can_be_lifted() -> None:
    made = model()
    assert "model.embed_tokens.weight" in decayed_parameters(made, Decay(embeddings=True))
    assert "model.norm.weight" in decayed_parameters(made, Decay(norms=True))


def test_trainers_own_rule_decays_embeddings() -> None:
    """The fault that is mended."""
    made = trainer(4, 1, ours=False)
    assert "model.embed_tokens.weight" in made.get_decay_parameter_names(made.model)


@pytest.mark.parametrize("embedding_lr", [None, 5e-3])
def test_both_ways_of_making_an_optimizer_agree(embedding_lr: float | None) -> None:
    made = trainer(4, 1, embedding_lr=embedding_lr)
    optimizer = made.create_optimizer()
    names = {id(p): n for n, p in made.model.named_parameters()}
    got = {names[id(p)]: (g["weight_decay"], g["lr"]) for g in optimizer.param_groups for p in g["params"]}
    assert set(got) == set(names.values()), "a parameter is in no group"
    for name, (decay, rate) in got.items():
        assert decay == (0.0 if "norm" in name or "embed_tokens" in name else 0.1), name
        special = embedding_lr is not None and ("embed_tokens" in name or "lm_head" in name)
        assert rate == (embedding_lr if special else 1e-2), name


def test_groups_hold_every_parameter_once() -> None:
    made = model()
    groups = parameter_groups(made.named_parameters(), ["lm_head.weight"], 0.1, 1.0, None,
                              [{"modules": ["mlp"], "lr": 0.5}])  # fmt: skip
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids)) == len(list(made.parameters()))
    assert sorted({(g["weight_decay"], g["lr"]) for g in groups}) == [(0.0, 0.5), (0.0, 1.0), (0.1, 1.0)]
