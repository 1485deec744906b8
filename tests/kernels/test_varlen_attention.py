"""Attention with borders that come with the batch: the wiring around torch's kernel, with one of plain torch in its
place, since the kernel itself runs on a GPU alone (`tests/benchmarks/gpu.py` tries it there)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from kormo_plugins.kernels import varlen_attention
from kormo_plugins.kernels.flash_choice import choose
from kormo_plugins.mixture.batches.collators import document_mask
from kormo_plugins.mixture.dataset import SampleRows
from kormo_plugins.mixture.params import DocumentMaskParams

SIZES: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False, "use_cache": False,
}  # fmt: skip


def plain(query: Any, key: Any, value: Any, borders: Any, other: Any, longest: int, *_: Any, **more: Any) -> Any:
    """What torch's kernel computes, document by document."""
    assert other is borders and longest == int(borders.diff().max()) and more["window_size"] == (-1, 0)
    parts = [
        scaled_dot_product_attention(
            *(one[begin:end].transpose(0, 1) for one in (query, key, value)), is_causal=True,
            enable_gqa=more.get("enable_gqa", False),
        ).transpose(0, 1)
        for begin, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)
    ]  # fmt: skip
    return torch.cat(parts)


def kernel(
    query: Any, key: Any, value: Any, borders: Any, other: Any, longest: int, longest_key: int, *,
    window_size: Any = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    return plain(query, key, value, borders, other, longest, window_size=window_size, enable_gqa=enable_gqa)


def without_groups(
    query: Any, key: Any, value: Any, borders: Any, other: Any, longest: int, longest_key: int, *, window_size: Any
) -> Any:
    return plain(query, key, value, borders, other, longest, window_size=window_size)


@pytest.fixture
def sdpa(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any, bool], None]]:
    """Puts the attention in front of `sdpa`, around a kernel, on this CPU; takes it away afterwards."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    monkeypatch.setattr(varlen_attention, "DEVICES", frozenset({"cpu"}))

    def install(around: Any, grouped: bool) -> None:
        made = varlen_attention.in_front_of(before, around, grouped)
        ALL_ATTENTION_FUNCTIONS.register("sdpa", made)

    yield install
    ALL_ATTENTION_FUNCTIONS.register("sdpa", before)


def model() -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    from kormo_plugins.architecture.family import KORMO

    KORMO.register()
    torch.manual_seed(0)
    config = AutoConfig.for_model("kormo", **SIZES, rope_theta=10000.0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train().to(torch.bfloat16)


def batch() -> dict[str, Any]:
    """Two rows of 24 tokens, three documents and two, as the collator gives them."""
    import numpy as np

    positions = np.stack(
        [np.concatenate([np.arange(n) for n in lengths]) for lengths in ((9, 11, 4), (16, 8))]
    )  # fmt: skip
    ids = np.random.default_rng(0).integers(0, 64, positions.shape)
    rows = SampleRows(ids, positions, np.array([24, 24]), np.array([0, 0]), None)
    return document_mask(DocumentMaskParams(cu_seqlens=True))(rows)


def step(net: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    net.zero_grad()
    out = net(**inputs)
    out.loss.backward()
    return out.logits.detach().float(), torch.cat([p.grad.float().flatten() for p in net.parameters()])


@pytest.mark.parametrize(("around", "grouped"), [(kernel, True), (kernel, False), (without_groups, False)])
def test_a_batch_with_borders_is_computed_as_with_a_mask(around: Any, grouped: bool, sdpa: Any) -> None:
    net, inputs = model(), batch()
    logits, gradients = step(
        net, {key: value for key, value in inputs.items() if "seq" not in key and "max" not in key}
    )
    sdpa(around, grouped)
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    mask, called = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"], list[int]()
    ALL_MASK_ATTENTION_FUNCTIONS.register("sdpa", lambda *args, **kwargs: called.append(1))  # as Axolotl's patch does
    try:
        ours, mine = step(net, inputs)
    finally:
        ALL_MASK_ATTENTION_FUNCTIONS.register("sdpa", mask)
    assert called, "no mask was asked for"
    torch.testing.assert_close(ours, logits, rtol=0.03, atol=0.03)
    assert float((mine - gradients).norm() / gradients.norm()) < 0.02


def test_a_batch_without_borders_is_left_to_what_was_there(sdpa: Any) -> None:
    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the kernel was called")

    net, inputs = model(), batch()
    bare = {key: value for key, value in inputs.items() if "seq" not in key and "max" not in key}
    before = step(net, bare)
    sdpa(never, True)
    for mine, other in zip(step(net, bare), before, strict=True):
        assert torch.equal(mine, other)
    net.float()
    assert step(net, inputs)[0].isfinite().all(), "float32 has no flash kernel"


def test_a_compiled_layer_with_borders_is_one_graph(sdpa: Any) -> None:
    """torch's own operator, which the compiler takes as one node; what it computes is given for the CPU here."""
    varlen = pytest.importorskip("torch.nn.attention.varlen")

    def forward(q: Any, k: Any, v: Any, borders: Any, other: Any, longest: int, *args: Any) -> Any:
        out = plain(q, k, v, borders, borders, longest, window_size=(-1, 0), enable_gqa=True)
        return (
            out.contiguous(),
            q.new_zeros(q.shape[1], q.shape[0], dtype=torch.float32),
            torch.zeros(2, dtype=torch.uint64),
        )

    operator = varlen._varlen_attn
    with torch.library._scoped_library("torch_attn", "IMPL"):
        operator.register_kernel("cpu")(forward)
        sdpa(varlen.varlen_attn, True)
        net, inputs = model(), batch()
        layer = net.model.layers[0]
        states = torch.randn(2, 24, 32).to(torch.bfloat16)
        turned = net.model.rotary_emb(states, inputs["position_ids"])
        more = {key: value for key, value in inputs.items() if "seq" in key or "max" in key}
        given = dict(attention_mask=None, position_ids=inputs["position_ids"], position_embeddings=turned, **more)
        found = torch._dynamo.explain(layer)(states, **given)
        assert found.graph_count == 1 and found.graph_break_count == 0, found.break_reasons
        compiled = torch.compile(layer, fullgraph=True, backend="eager")
        with torch.no_grad():
            torch.testing.assert_close(compiled(states, **given), layer(states, **given))


def test_a_kernel_is_tried_before_it_is_used() -> None:
    assert varlen_attention.tried(kernel, True, "cpu") is None
    assert varlen_attention.tried(without_groups, False, "cpu") is None
    assert varlen_attention.tried(without_groups, True, "cpu") == "it does not support grouped heads"

    def wrong(*args: Any, **kwargs: Any) -> Any:
        return kernel(*args, **kwargs).flip(0)

    wrong.__signature__ = __import__("inspect").signature(kernel)  # type: ignore[attr-defined]
    assert "relative error" in str(varlen_attention.tried(wrong, True, "cpu"))

    def none(*args: Any, window_size: Any, enable_gqa: bool = False) -> Any:
        raise RuntimeError("no kernel image is available\nfor this device")

    assert varlen_attention.tried(none, True, "cpu") == "no kernel image is available for this device"


@pytest.mark.parametrize(
    ("capability", "listed", "installed", "name", "says"),
    [
        ((9, 0), ["FA3", "FA4"], True, "FA3", "FlashAttention-3"),
        ((9, 0), ["FA3", "FA4"], False, None, "not installed (flash_attn_interface)"),
        ((9, 0), [], True, None, "FlashAttention-3 requires torch 2.10 or newer"),
        ((10, 0), ["FA3", "FA4"], True, "FA4", "FlashAttention-4"),
        ((8, 0), ["FA3", "FA4"], True, None, "compute capability 8.0"),
    ],
)
def test_the_fastest_flash_attention_is_chosen_or_why_it_is_not(
    capability: tuple[int, int], listed: list[str], installed: bool, name: str | None, says: str
) -> None:
    chosen, line = choose(capability, listed, lambda package: installed)
    assert (chosen.name if chosen else None) == name and says in line
