"""Quantization-aware training by Axolotl on a recipe of ours: it reaches the loss, and saves a plain model."""

from __future__ import annotations

from typing import Any

import pytest
from safetensors.torch import load_file

from kormo_plugins.measures.metrics_file import read_metrics

from .conftest import Lab

pytestmark = [pytest.mark.axolotl, pytest.mark.soak]


def test_matrices_are_trained_as_they_will_be_rounded(lab: Lab, trained: Any) -> None:
    qat = {"weight_dtype": "int4", "activation_dtype": "int8", "group_size": 32}
    done = lab.train("qat", change={"qat": qat, "max_steps": 2})
    assert done.returncode == 0, done.stderr[-4000:]
    rounded, plain = (
        next(line["loss"] for line in read_metrics(lab.out(name) / "metrics.jsonl") if line.get("step") == 1)
        for name in ("qat", "base")
    )
    assert 0 < abs(rounded - plain) < 0.1, "the first loss of the same weights, rounded to 4 bits and not"
    ours, theirs = (load_file(lab.out(name) / "model.safetensors") for name in ("qat", "base"))
    assert {key: (value.shape, value.dtype) for key, value in ours.items()} == {
        key: (value.shape, value.dtype) for key, value in theirs.items()
    }
    assert (lab.out("qat") / "export/model.safetensors").is_file()
