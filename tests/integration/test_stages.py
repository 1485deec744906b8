"""Stages through the real `axolotl train`, and a chain of them; and what the recipes of the stages promise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

from kormo_plugins.experiments.chain.spec import load_chain
from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.store.complete import fault
from kormo_plugins.training.checkpoints.complete import checkpoints

from .conftest import DATA, Lab, merged

ROOT = Path(__file__).parents[2]
STAGES = ("pretrain", "pretrain_stage2", "midtrain_long_context", "midtrain_long_context_2", "midtrain_reasoning")
LONGER = {"rope_theta": 1e6, "max_position_embeddings": 1024}
THOUGHT = merged(DATA, {"sources": {"korean": {"control_tokens": ["<think>", "</think>"]}}})
THOUGHT["sources"]["korean"]["steps"] = [{"name": "wrap_think"}]


def _chain(lab: Lab, name: str, **second: Any) -> Path:
    """The run of the fixture `trained`, then a stage with longer rows and <think> out of the loss."""
    kormo = {
        "from_run": str(lab.out("base")), "tokenizer": None, "architecture": LONGER, "data": THOUGHT,
        "collator": {"name": "document_mask", "ignore_tokens": ["<think>"]}, "samples": {"prompts": ["서울은"]},
    }  # fmt: skip
    lab.recipe(name, **merged({"kormo": kormo, "sequence_len": 256, "max_steps": 6, "save_steps": 2}, second))
    path = lab.folder / f"chain-{name}.yml"
    stages = [{"name": "base", "recipe": "base.yml"}, {"name": "longer", "recipe": f"{name}.yml"}]
    folder = str(lab.folder / f"chain-{name}")
    path.write_text(yaml.safe_dump({"name": f"real-{name}", "folder": folder, "stages": stages}))
    return path


def _kormo(lab: Lab, *words: str) -> Any:
    return subprocess.run(
        ["kormo", *words], cwd=lab.folder, env=lab.environ(KORMO_SAMPLES="off"), capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip


@pytest.mark.soak
@pytest.mark.axolotl
def test_a_chain_knows_what_axolotl_trained_and_goes_on_from_it(lab: Lab, trained: Any) -> None:
    chain = _chain(lab, "longer")
    done = _kormo(lab, "run", str(chain), "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = json.loads(done.stdout)["stages"]
    assert one["status"] == "skipped" and two["status"] == "trained"  # the first was trained without the chain
    assert two["steps"] == 6 and two["before"] == "base" and two["loss"] < two["loss_at_start"] + 1
    config = json.loads((lab.out("longer") / "config.json").read_text())
    assert config["rope_parameters"]["rope_theta"] == 1e6 and config["max_position_embeddings"] == 1024
    exported = json.loads((lab.out("longer") / "export" / "config.json").read_text())
    assert exported["rope_parameters"]["rope_theta"] == 1e6 and exported["model_type"] == "llama"
    assert (lab.folder / "chain-longer" / "logs" / "longer.log").stat().st_size > 1000
    again = _kormo(lab, "run", str(chain), "--json")
    assert [stage["status"] for stage in json.loads(again.stdout)["stages"]] == ["skipped"] * 2


@pytest.mark.soak
@pytest.mark.axolotl
@pytest.mark.parametrize("when", [1, 3, 5])
def test_killed_in_the_middle_of_a_stage_nothing_is_trained_twice(lab: Lab, trained: Any, when: int) -> None:
    """The whole process group dies after step `when`; the weights equal those of a run that was left alone."""
    whole = _chain(lab, "whole")
    if not (lab.out("whole") / "model.safetensors").exists():
        assert _kormo(lab, "run", str(whole)).returncode == 0
    name = f"killed{when}"
    chain = _chain(lab, name)
    process = subprocess.Popen(
        ["kormo", "run", str(chain)], cwd=lab.folder, env=lab.environ(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    metrics = lab.out(name) / "metrics.jsonl"
    while not metrics.exists() or f'"step": {when}, "loss"' not in metrics.read_text():
        time.sleep(0.02)
        assert process.poll() is None
    stage = int((lab.folder / f"chain-{name}" / "logs" / "longer.pid").read_text())
    os.killpg(stage, signal.SIGKILL)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    whole_ones = [folder for folder in checkpoints(lab.out(name)) if fault(folder) is None]  # one each two steps
    done = _kormo(lab, "run", str(chain), "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    assert [stage["status"] for stage in json.loads(done.stdout)["stages"]] == ["skipped", "trained"]
    one, other = (load_file(lab.out(run) / "model.safetensors") for run in ("whole", name))
    assert all((one[key] == other[key]).all() for key in one)
    resumed = [line for line in metrics.read_text().splitlines() if '"event": "resume"' in line]
    assert len(resumed) == bool(whole_ones) >= (when > 2)
    steps = [line["step"] for line in read_metrics(metrics) if "loss" in line]
    assert steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("size", ["", "1b/", "10b/"])
def test_each_stage_takes_the_model_of_the_one_before(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    before = None
    for name in STAGES:
        recipe = load_recipe(Path(f"recipes/{size}{name}.yml"))
        assert recipe.output_dir == Path(f"outputs/{size}{name}")
        assert recipe.block.from_run == before, name
        assert (recipe.block.tokenizer is None) == (before is not None)
        before = recipe.output_dir


@pytest.mark.parametrize("size", ["", "1b/", "10b/"])
def test_length_and_rope_base_rise_in_steps_and_the_base_is_enough(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of arXiv 2405.14591: up to the row's length, the mean cosine over RoPE's wavelengths stays positive."""
    monkeypatch.chdir(ROOT)
    recipes = [load_recipe(Path(f"recipes/{size}{name}.yml")) for name in STAGES[1:4]]
    lengths = [recipe.sequence_len for recipe in recipes]
    shapes = [recipe.block.architecture.values for recipe in recipes if recipe.block.architecture]
    bases = [float(shape["rope_theta"]) for shape in shapes]
    assert lengths == sorted(set(lengths)) and bases == sorted(set(bases))
    for length, shape, base in zip(lengths, shapes, bases, strict=True):
        wavelengths = base ** -(np.arange(0, shape["head_dim"], 2) / shape["head_dim"])
        similarity = np.cos(np.outer(np.arange(length), wavelengths)).sum(1)
        assert similarity.min() > 0, (length, base)
        assert length <= shape["max_position_embeddings"]


@pytest.mark.parametrize("size", ["", "1b/", "10b/"])
def test_documents_of_the_long_stages_are_kept_whole(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in STAGES[2:4]:
        recipe = load_recipe(Path(f"recipes/{size}{name}.yml"))
        assert recipe.data is not None and recipe.data.mixture.packing == {"name": "best_fit", "longer": "drop"}
        assert any(step.name == "length" and step.values["minimum"] >= 2000 for step in recipe.data.corpus.steps)


@pytest.mark.parametrize("size", ["", "1b/", "10b/"])
def test_thought_is_a_token_of_every_source_and_out_of_the_loss(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    recipe = load_recipe(Path(f"recipes/{size}midtrain_reasoning.yml"))
    assert recipe.block.collator.values["ignore_tokens"] == ["<think>"] and recipe.data is not None
    for source in recipe.data.corpus.sources.values():
        assert source.control_tokens == ("<think>", "</think>")
        assert "wrap_think" in [step.name for step in recipe.data.corpus.steps_of(source)]


@pytest.mark.parametrize("size", ["", "1b/", "10b/"])
def test_the_rate_comes_down_within_the_run(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """ForkServer-up and decay fit into the steps, and only the stages that end something decay."""
    monkeypatch.chdir(ROOT)
    for name in STAGES:
        recipe = load_recipe(Path(f"recipes/{size}{name}.yml"))
        decay = recipe.get("lr_scheduler_kwargs")["num_decay_steps"]
        assert recipe.steps is not None and decay + float(recipe.get("warmup_ratio")) * recipe.steps <= recipe.steps + 1
        assert (decay > 0) == (name not in ("pretrain", "midtrain_long_context")), name


@pytest.mark.parametrize("size", ["nano", "1b", "10b"])
def test_the_chains_are_sound(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From random weights to a chat model, each stage from the one before (the hub is not asked for its documents)."""
    monkeypatch.chdir(ROOT)
    if size != "nano":
        monkeypatch.setattr("kormo_plugins.experiments.chain.spec.identity_inputs", lambda recipe: {})
    chain = load_chain(Path(f"recipes/chains/{size}.yml"))
    names = [stage.name for stage in chain.stages]
    assert names == [*STAGES, "sft", "dpo"]
    assert [stage.before for stage in chain.stages] == [None, *names[:-1]]
