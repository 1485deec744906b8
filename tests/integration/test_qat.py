"""Axolotl's quantization-aware training on a recipe of ours: it reaches the loss, saves a plain model, quantizes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from safetensors.torch import load_file

from kormo_plugins.measures.metrics_file import read_metrics

from .conftest import Lab

pytestmark = [pytest.mark.axolotl, pytest.mark.soak]

OPENED = """
import json, sys
import torch
from transformers import AutoModelForCausalLM
from kormo_plugins.architecture.registration import register
register()
ids, losses, rounded = torch.arange(100)[None], [], []
for folder in sys.argv[1:]:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        losses.append(model(input_ids=ids, labels=ids).loss.item())
    rounded.append(type(model.model.layers[0].mlp.down_proj.weight.data).__module__.startswith("torchao"))
print(json.dumps([*rounded, abs(losses[0] - losses[1])]))
"""


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

    done = lab.axolotl("quantize", str(lab.folder / "qat.yml"), fresh=True)
    assert done.returncode == 0, done.stderr[-4000:]
    opened = lab.python(OPENED, str(lab.out("qat")), str(lab.out("qat") / "quantized"))
    assert opened.returncode == 0, opened.stderr[-3000:]
    whole, quantized, far = json.loads(opened.stdout.splitlines()[-1])
    assert quantized and not whole and 0 < far < 0.1, "the model that was trained to be rounded, and rounded"
