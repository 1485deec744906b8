"""FLOPs against what torch counts, and the names of devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kormo_plugins.measures.flops import (
    PEAK_FLOPS,
    Shape,
    attention_flops_per_token,
    device_key,
    documents_mean,
    model_flops_per_token,
    peak_flops,
)

TINY: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 24, "vocab_size": 320,
}  # fmt: skip
KORMO_10B = Shape(4096, 16384, 40, 32, 8, 128, 125_184)


def test_they_are_what_torch_counts() -> None:
    """Every matrix product of a real forward and backward, counted by torch itself."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(**TINY, attn_implementation="eager", use_cache=False))
    ids = torch.randint(0, 320, (2, 48))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids)["loss"].backward()
    rotary = 2 * 12 * 48  # the table of angles, [k/2, 1] × [1, T] once: a product, but with no weight
    counted = counter.get_total_flops() - rotary
    assert model_flops_per_token(Shape.of(TINY), 48) * ids.numel() == pytest.approx(counted, rel=1e-12)


def test_the_10b_has_its_published_parameters() -> None:
    embedding, norms = 125_184 * 4096, (2 * 40 + 1) * 4096
    assert KORMO_10B.matmul_parameters == 10_756_624_384 - embedding - norms
    assert model_flops_per_token(KORMO_10B, 4096) == pytest.approx(6 * 10.2435e9 + 8.053e9, rel=1e-4)


def test_positions_say_how_long_the_documents_are() -> None:
    lengths = [5, 1, 12, 30]
    positions = np.concatenate([np.arange(n) for n in lengths])
    assert documents_mean(positions.mean()) == pytest.approx(sum(n * n for n in lengths) / sum(lengths))
    assert documents_mean(np.arange(48).mean()) == 48  # one document is the row itself
    isolated = model_flops_per_token(KORMO_10B, 4096, 700.0)
    assert model_flops_per_token(KORMO_10B, 4096) - isolated == attention_flops_per_token(KORMO_10B, 4096 - 700)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA H100 PCIe", "h100_pcie"), ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"), ("NVIDIA GeForce RTX 4090", "rtx4090"), ("NVIDIA B200", "b200"),
        ("NVIDIA GB200", None), ("NVIDIA A100X", None), ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("Tesla T4", None), ("", None),
    ],
)  # fmt: skip
def test_only_a_known_device_has_a_peak(name: str, key: str | None) -> None:
    assert device_key(name) == key
    assert peak_flops(name, "bfloat16") == (PEAK_FLOPS[key]["bfloat16"] if key else None)
