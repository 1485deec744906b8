"""The other architectures through the real `axolotl train`: what is logged, exported, and equal after a resume."""

from __future__ import annotations

import json
import math
import shutil
from typing import Any

import pytest
from safetensors.torch import load_file

from kormo_plugins.measures.flops import Shape
from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.recipe.cost.model_size import model_of
from kormo_plugins.recipe.load import load_recipe

from .conftest import Lab

MOE = {"name": "kormo_moe", "num_local_experts": 4, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.01}
CASES: dict[str, tuple[dict[str, Any], str | None, set[str]]] = {
    "upcycled": (MOE, "mixtral", {"loss/load_balance"}),
    "qk": ({"name": "kormo_qk_norm", "qk_norm": "head"}, "qwen3", set()),
    "post": ({"name": "kormo_post_norm", "qk_norm": "projection"}, "olmo2", set()),
    "mixln": ({"name": "kormo_mix_ln", "post_norm_layers": 1}, None, set()),
    "mtp": ({"name": "kormo_mtp", "future_tokens": 2, "future_loss_weight": 0.3}, "llama",
            {"loss/future_1", "loss/future_2"}),
    "moe": (MOE, "mixtral", {"loss/load_balance"}),
    "tied": ({"tie_word_embeddings": True}, "llama", set()),
}  # fmt: skip


@pytest.mark.axolotl
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "upcycled" else pytest.mark.soak) for name in CASES]
)
def test_it_trains_exports_and_resumes_to_the_same_bits(name: str, lab: Lab, trained: Any) -> None:
    own, plain, parts = CASES[name]
    kormo: dict[str, Any] = {"architecture": own, "export": plain is not None, "samples": {"prompts": []}}
    if name == "upcycled":
        kormo["from_run"] = str(lab.out("base"))
    change = {"kormo": kormo, "micro_batch_size": 4}
    done = lab.train(name, change=change)
    assert done.returncode == 0, done.stderr[-3000:]
    out = lab.out(name)
    lines = [line for line in read_metrics(out / "metrics.jsonl") if "loss" in line]
    assert len(lines) == 8
    for line in lines:
        assert parts <= line.keys() and all(math.isfinite(line[part]) for part in parts)
        added = sum(line[part] * (0.01 if "balance" in part else 0.3) for part in parts)
        assert line["loss"] == pytest.approx(line["batch_loss"] + added, rel=1e-4)
    if name == "upcycled":  # it goes on where the dense model stopped
        dense = [line["loss"] for line in read_metrics(lab.out("base") / "metrics.jsonl") if "loss" in line]
        assert lines[0]["batch_loss"] < dense[-1] + 0.3 < dense[0]
    if plain is not None:
        assert json.loads((out / "export" / "config.json").read_text())["model_type"] == plain
    weights = load_file(out / "model.safetensors")
    model = model_of(load_recipe(lab.folder / f"{name}.yml"))
    assert model.parameters == sum(weight.numel() for weight in weights.values())
    assert Shape.of(json.loads((out / "config.json").read_text())) == model.shape
    # As a process that was killed after step 4 leaves it.
    for path in (out / "model.safetensors", out / "complete.json"):
        path.unlink()
    for path in (out / "checkpoint-8", out / "export"):
        shutil.rmtree(path, ignore_errors=True)
    again = lab.train(name, change=change)
    assert again.returncode == 0, again.stderr[-3000:]
    assert (out / "metrics.jsonl").read_text().count('"resume"') == 1
    found = load_file(out / "model.safetensors")
    assert found.keys() == weights.keys() and all(bool((found[key] == weights[key]).all()) for key in weights)


def test_a_form_that_does_not_exist_is_refused_before_anything_is_built(lab: Lab) -> None:
    path = lab.recipe("refused", kormo={"architecture": {"name": "kormo_mix_ln", "post_norm_layers": 1}})
    done = lab.axolotl("train", str(path), "--launcher", "python")
    assert done.returncode == 2 and "it has no Llama form" in done.stderr and "kormo.export: false" in done.stderr
    assert not lab.out("refused").exists()
