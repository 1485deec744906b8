"""`torch_compile` compiles layers: no graph breaks in ours, and the trained weights are those of a run without."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from .harness import trainer

tiny_kormo: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False, "use_cache": False,
}  # fmt: skip


def test_a_layer_of_ours_is_one_graph() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    from kormo_plugins.architecture.family import KORMO

    KORMO.register()
    config = AutoConfig.for_model("kormo", **tiny_kormo, rope_theta=10000.0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    states, positions = torch.randn(2, 16, 32), torch.arange(16)[None].repeat(2, 1)
    turned = model.model.rotary_emb(states, positions)
    mask = torch.ones(2, 1, 16, 16, dtype=torch.bool).tril()
    found = torch._dynamo.explain(model.model.layers[0])(
        states, attention_mask=mask, position_ids=positions, position_embeddings=turned
    )
    assert found.graph_count == 1 and found.graph_break_count == 0, found.break_reasons


def test_the_layers_are_compiled_and_the_numbers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """With dynamo's own backend, which needs no compiler: graphs are taken, operations are torch's."""
    monkeypatch.delenv("ACCELERATE_DYNAMO_BACKEND", raising=False)
    plain = trainer(4, 1, steps=2)
    plain.train()
    compiled = trainer(4, 1, steps=2, torch_compile=True, torch_compile_backend="eager")
    for name in ("ACCELERATE_DYNAMO_BACKEND", "ACCELERATE_DYNAMO_MODE"):
        monkeypatch.delenv(name, raising=False)  # set by TrainingArguments for good
    assert all(layer._compiled_call_impl is not None for layer in compiled.model.model.layers)
    assert compiled.model._compiled_call_impl is None
    compiled.train()
    for one, other in zip(plain.model.parameters(), compiled.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
