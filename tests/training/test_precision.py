"""The dtypes of the real tensors are those of the recipe, or the run stops."""

from __future__ import annotations

import pytest
import torch

from kormo_plugins.errors import KormoError
from kormo_plugins.training.precision import axolotl_switches, cast_weights, observe
from kormo_plugins.training.settings import Precision

from .harness import model, trainer

FLOAT32 = Precision("float32", "float32", None, "float32")
MIXED = Precision("float32", "bfloat16", None, "float32")
PURE = Precision("bfloat16", "bfloat16", None, "bfloat16")
MASTERS = Precision("bfloat16", "bfloat16", "float32", "float32")


@pytest.mark.parametrize("precision", [FLOAT32, MIXED, PURE])
def test_what_was_asked_for_is_what_trains(precision: Precision) -> None:
    made = trainer(4, 1, steps=3, bf16=precision.compute == "bfloat16")
    cast_weights(made.model, precision)
    made.kormo.__dict__["precision"] = precision
    made.train()
    seen = observe(made.model, made.optimizer)
    assert set(seen["weights"]) == {precision.weights}
    assert set(seen["optimizer"]) == {precision.optimizer}
    assert not seen["master"]


def test_another_dtype_stops_the_run() -> None:
    made = trainer(4, 1, steps=3)
    made.model.to(torch.bfloat16)
    with pytest.raises(KormoError) as error:
        made.train()
    assert "kormo.precision.weights" in error.value.where and "bfloat16" in error.value.found


def test_casting_is_exact_there_and_back() -> None:
    """Axolotl upcasts embeddings and norms of a bfloat16 model; casting back gives the loaded weights."""
    one, other = model().to(torch.bfloat16), model().to(torch.bfloat16)
    other.model.embed_tokens.to(torch.float32)
    assert cast_weights(other, PURE) == 1
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("precision", "deepspeed"),
    [
        (Precision("float32", "bfloat16", "float32", "float32"), False),
        (Precision("bfloat16", "bfloat16", "float32", "bfloat16"), False),
        (PURE, True),
        (Precision("bfloat16", "float32", None, "bfloat16"), False),
        (Precision("float32", "bfloat16", None, "bfloat16"), False),
        (Precision("float32", "float32", "float32", "float32"), True),
    ],
)
def test_what_no_backend_can_hold_is_refused(precision: Precision, deepspeed: bool) -> None:
    with pytest.raises(KormoError) as error:
        axolotl_switches(precision, deepspeed)
    assert error.value.where == "kormo.precision" and "set" in error.value.do


def test_switches() -> None:
    assert axolotl_switches(FLOAT32, False)["bf16"] is False
    assert axolotl_switches(MIXED, False)["bf16"] is True
    assert axolotl_switches(MASTERS, True)["bf16"] is True and axolotl_switches(MASTERS, False)["bf16"] is True
    with pytest.raises(KormoError, match="adapters are float32 already"):
        axolotl_switches(MASTERS, False, adapters=True)
    assert axolotl_switches(FLOAT32, False)["fp16"] is False, "unset, Axolotl turns it on without a GPU"
