"""Liger for kormo: the arithmetic in Triton's interpreter, and what happens without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.kernels import liger
from kormo_plugins.kernels.liger import LIGER, LigerParams
from kormo_plugins.plugins.registry import registry

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What `interpreted.py` measured, in a process whose Triton interprets."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("interpreted.py"))],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_every_kernel_is_in_the_model(found: dict[str, Any]) -> None:
    assert {"KORMoForCausalLM", "LigerRMSNorm", "LigerSwiGLUMLP"} <= set(found["parts"])
    assert not {"LlamaRMSNorm", "LlamaMLP"} & set(found["parts"])
    assert found["logits"] is False, "the logits were held, so the loss was not fused"
    assert found["line"] == "kernels: liger for kormo: rms_norm, rope, swiglu, fused_linear_cross_entropy"


def test_forward_and_backward_are_the_plain_ones(found: dict[str, Any]) -> None:
    plain, fused = found["loss"]
    assert fused == pytest.approx(plain, rel=1e-6)
    assert found["gradients"] < 1e-5


def test_the_loss_is_divided_by_the_global_batch(found: dict[str, Any]) -> None:
    assert found["half"] == pytest.approx(0.5, rel=1e-6), "num_items_in_batch did not reach the fused loss"


def test_packed_documents_are_as_if_alone(found: dict[str, Any]) -> None:
    assert found["alone"] == pytest.approx(found["loss"][1], rel=1e-6)


def test_the_norm_casts_as_our_architecture_does(found: dict[str, Any]) -> None:
    norms = found["norms"]
    assert norms["orders differ"] > 0.05  # or the comparison says nothing
    assert norms["llama is ours"] > 0.999 and norms["gemma is published"] > 0.999  # sums are taken in another order
    assert norms["gemma is ours"] < 0.95


def test_loss_by_source_needs_no_logits(found: dict[str, Any]) -> None:
    fused, plain = found["sources"], found["plain sources"]
    assert fused.pop("logits") == 0.0 and plain.pop("logits") == 1.0
    assert fused == pytest.approx(plain, rel=1e-6)
    assert fused["batch_loss"] == pytest.approx(found["loss"][1], rel=1e-6)


def test_in_one_pass_the_losses_of_the_tokens_come_with_the_gradients(found: dict[str, Any]) -> None:
    """Our loop over chunks around Liger's row kernel."""
    loss, gradients = found["one pass"]
    assert loss == pytest.approx(found["loss"][0], rel=1e-6) and gradients < 1e-5
    sources = found["one pass sources"]
    assert sources.pop("logits") == 0.0
    assert sources == pytest.approx({**found["plain sources"]}, rel=1e-6)


def test_what_was_patched_is_given_back(found: dict[str, Any]) -> None:
    assert found["released"] == [True, 0.0, True]


def test_without_a_gpu_it_says_so_and_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert LIGER.axolotl(LigerParams()) == {}
    assert (
        LIGER("kormo", LigerParams()) == "kernels: liger is disabled because there is no GPU; torch computes the same"
    )


def test_with_one_it_asks_for_what_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liger, "available", lambda: True)
    assert LIGER.axolotl(LigerParams(rope=False)) == {
        "plugins": ["axolotl.integrations.liger.LigerPlugin"], "liger_rms_norm": True, "liger_rope": False,
        "liger_glu_activation": True, "liger_fused_linear_cross_entropy": True,
    }  # fmt: skip


def test_the_keys_are_those_of_axolotl(found: dict[str, Any]) -> None:
    assert set(LigerParams().axolotl_keys()) <= set(found["axolotl keys"])


def test_a_type_without_kernels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liger, "available", lambda: True)
    with pytest.raises(KormoError, match="has no kernels for this model type"):
        LIGER("kormoo", LigerParams())


def test_a_kernel_of_that_name_is_installed() -> None:
    assert registry().load("kernel", "liger") is LIGER
    with pytest.raises(KormoError, match="rms_nrom"):
        registry().params("kernel", "liger", {"rms_nrom": True})
