"""The memory model beside the tensors of a real training step, at a tiny shape; the benchmark has larger ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kormo_plugins.recipe.cost.advice import advise
from kormo_plugins.recipe.cost.memory import Setup, Zero, memory
from kormo_plugins.recipe.cost.setup import zero_of

from .real_step import measure, setup, sizes

TINY = sizes(64, 192, 2, 4, 2, 24, 640)


@pytest.mark.parametrize(
    ("weights", "compute"), [("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "bfloat16")]
)
def test_every_part_is_that_of_a_real_step(weights: str, compute: str) -> None:
    told = memory(setup(TINY, 2, 96, weights, compute, False))
    found = measure(TINY, 2, 96, weights, compute, False)
    assert (told.weights, told.gradients, told.optimizer) == (
        found["weights"], found["gradients"], found["optimizer"],
    )  # fmt: skip
    assert told.activations == pytest.approx(found["activations"], rel=1e-4)
    assert told.total == pytest.approx(found["total"], rel=0.01)


def test_checkpointing_keeps_the_inputs_of_the_layers() -> None:
    deep = sizes(64, 256, 6, 4, 2, 16, 320)
    told, found = (
        memory(setup(deep, 2, 128, "float32", "float32", True)),
        measure(deep, 2, 128, "float32", "float32", True),
    )
    assert told.total == pytest.approx(found["total"], rel=0.03)
    assert found["total"] < 0.6 * memory(setup(deep, 2, 128, "float32", "float32", False)).total


@pytest.mark.parametrize(("weights", "compute"), [("float32", "float32"), ("float32", "bfloat16")])
@pytest.mark.parametrize("layers", [1, 3, 5])
def test_checkpointing_of_some_layers_lies_between(weights: str, compute: str, layers: int) -> None:
    deep = sizes(64, 256, 6, 4, 2, 16, 320)
    told = memory(setup(deep, 2, 128, weights, compute, True, layers))
    found = measure(deep, 2, 128, weights, compute, True, layers)
    assert told.total == pytest.approx(found["total"], rel=0.03)
    none, every = (memory(setup(deep, 2, 128, weights, compute, on)) for on in (False, True))
    assert every.total < told.total < none.total


@pytest.mark.parametrize(("weights", "compute"), [("float32", "float32"), ("float32", "bfloat16")])
@pytest.mark.parametrize(("experts", "taken"), [(4, 2), (8, 1)])
def test_a_mixture_of_experts_keeps_what_its_tokens_go_through(
    weights: str, compute: str, experts: int, taken: int
) -> None:
    """The experts' weights, gradients and moments are there whole; of activations, those that tokens go to."""
    more = {"num_local_experts": experts, "num_experts_per_tok": taken, "router_aux_loss_coef": 0.01}
    mixed = sizes(64, 192, 4, 4, 2, 16, 320, **more)
    told = memory(setup(mixed, 2, 128, weights, compute, False))
    found = measure(mixed, 2, 128, weights, compute, False)
    assert (told.weights, told.gradients, told.optimizer) == (
        found["weights"], found["gradients"], found["optimizer"],
    )  # fmt: skip
    assert told.activations == pytest.approx(found["activations"], rel=0.04)
    assert told.total == pytest.approx(found["total"], rel=0.02)


def large(**change: object) -> Setup:
    """A 10B-sized step on 8 GPUs."""
    model = sizes(4096, 16384, 40, 32, 8, 128, 125184)
    step = replace(setup(model, 2, 4096, "bfloat16", "bfloat16", False), ranks=8, master_bytes=4, moment_bytes=8,
                   cuda=True, dense_mask=False, zero=Zero(2, gradient_bytes=4))  # fmt: skip
    return replace(step, **change)  # type: ignore[arg-type]


def test_each_zero_stage_shares_one_part_more() -> None:
    parts = [memory(large(zero=Zero(stage, gradient_bytes=4))) for stage in range(4)]
    p = large().parameters
    assert [part.optimizer for part in parts] == [12 * p, 12 * p // 8, 12 * p // 8, 12 * p // 8]
    assert [part.gradients for part in parts] == [4 * p, 4 * p, 4 * p // 8, 4 * p // 8]
    assert [part.weights for part in parts] == [2 * p, 2 * p, 2 * p, 2 * p // 8]
    assert len({(part.activations, part.logits) for part in parts}) == 1


def test_what_is_offloaded_is_on_the_host() -> None:
    on, off = memory(large()), memory(large(zero=Zero(3, True, True, 4)))
    assert (off.optimizer, off.gradients, off.weights) == (0, 0, 0)
    assert off.host == pytest.approx(on.optimizer + on.gradients + on.weights / 8)


def test_each_advice_is_cheaper_and_says_what_it_will_be() -> None:
    capacity = 85.5e9
    step = large()
    assert memory(step).total > capacity
    for change in advise(step, 2, capacity):
        assert change["fits"] == (change["total_gb"] * 1e9 <= capacity)
        assert change["total_gb"] * 1e9 < memory(step).total
    (chosen,) = [change for change in advise(step, 2, capacity) if "kormo.checkpointed_layers" in change["set"]]
    layers = chosen["set"]["kormo.checkpointed_layers"]
    enough, fewer = (memory(large(checkpointing=True, checkpointed=n)).total for n in (layers, layers - 1))
    assert chosen["total_gb"] == enough / 1e9 and enough <= capacity < fewer, "not the fewest layers"
    assert [*advise(large(checkpointing=True), 2, capacity)] == []


def test_where_no_single_change_helps_several_are_put_together() -> None:
    (together,) = advise(large(ranks=2), 2, 30e9)
    assert together["fits"] and len(together["set"]) > 1
    (hopeless,) = advise(large(ranks=2), 2, 2e9)
    assert not hopeless["fits"]


CARD = sizes(2048, 6144, 16, 16, 8, 128, 125184), sizes(4096, 16384, 4, 32, 8, 128, 125184)
LIGER = frozenset({"rms_norm", "swiglu", "fused_linear_cross_entropy"})
ZERO3 = {"stage": 3, "overlap_comm": True, "reduce_bucket_size": 500_000_000, "stage3_max_live_parameters": 10**9}


@pytest.mark.parametrize(
    ("model", "weights", "zero", "reserved"),
    [(0, "float32", None, 49.8), (1, "float32", None, 53.1), (1, "bfloat16", ZERO3, 55.7)],
)
def test_what_an_h100_reserved(model: int, weights: str, zero: dict[str, object] | None, reserved: float) -> None:
    """4 rows of 4,096 tokens, packed documents, AdamW (foreach), Liger with its own fused loss: the 1B and four layers
    of the 10B, and the latter under ZeRO-3 on one rank. Never under, and at most 5% over."""
    held: dict[str, object] = {}
    if zero is not None:
        config = {"zero_optimization": zero, "data_types": {"grad_accum_dtype": "fp32"}}
        held = {"master_bytes": 4, "moment_bytes": 8, "zero": zero_of(config)}
    step = replace(setup(CARD[model], 4, 4096, weights, "bfloat16", False), cuda=True, dense_mask=False,
                   foreach_bytes=4, kernels=LIGER, **held)  # fmt: skip
    assert reserved * 1e9 <= memory(step).total <= 1.05 * reserved * 1e9


def test_one_pass_holds_a_chunk_of_the_logits_and_masters_have_the_gradients() -> None:
    plain = replace(setup(CARD[0], 4, 4096, "bfloat16", "bfloat16", False), cuda=True, dense_mask=False, moment_bytes=8)
    ours = replace(plain, kernels=frozenset({"one_pass", "fused_linear_cross_entropy"}), master_bytes=4)
    assert memory(ours).logits < 0.15 * memory(plain).logits
    assert memory(ours).gradients == 2 * memory(plain).gradients == 4 * ours.parameters
