"""`axolotl train` on a preference recipe: one model, our ids, whole checkpoints, and a resume that changes nothing."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.store.complete import fault

from .conftest import Lab

pytestmark = pytest.mark.axolotl

DATA: dict[str, Any] = {
    "name": "pairs",
    "sources": {
        name: {"language": name, "generator": {"name": "embedded_preferences", "language": name, "pairs": 40}}
        for name in ("ko", "en")
    },
    "steps": [{"name": "preference_pair"}, {"name": "normalize"}, {"name": "exact_dedup"}],
    "mixture": {"name": "weighted", "weights": {"ko": 60, "en": 40}},
}

WATCH = '''
import gc, json, os
from axolotl.loaders.model import ModelLoader
from transformers import PreTrainedModel, TrainerCallback
from kormo_plugins import Component, hookimpl

loads = []
original = ModelLoader.load

def load(self):
    loads.append(self.reference_model)
    return original(self)

ModelLoader.load = load

class LossSpikeGuard(TrainerCallback):
    """Counts models that were loaded and that live, and keeps the ids of the first batch."""

    def on_step_begin(self, args, state, control, train_dataloader=None, **kwargs):
        if state.global_step:
            return
        gc.unfreeze()  # or the objects from before training would not be listed
        live = [m for m in gc.get_objects() if isinstance(m, PreTrainedModel) and hasattr(m, "lm_head")]
        batch = next(iter(train_dataloader))
        with open(os.environ["KORMO_WATCH"], "w") as file:
            json.dump({
                "loads": loads, "live": [type(m).__name__ for m in live],
                "parameters": sum(p.numel() for m in live for p in m.parameters()),
                **{name: batch[name].tolist() for name in ("input_ids", "attention_mask", "completion_mask")},
            }, file)

@hookimpl
def kormo_run_callbacks():
    yield Component("watch", load=lambda params: LossSpikeGuard(), summary="counts models")
'''


def recipe(lab: Lab, name: str, **change: Any) -> Path:
    """A preference recipe that goes on from the run `base`."""
    kormo = {"from_run": str(lab.out("base")), "architecture": None, "tokenizer": None, "role": "chat",
             **change.pop("kormo", {})}  # fmt: skip
    values = {"rl": "dpo", "precompute_ref_log_probs": True, "learning_rate": 1e-3, "sequence_len": 384, "max_steps": 6,
              "save_steps": 2, "save_total_limit": 4, **change}  # fmt: skip
    path = lab.recipe(name, kormo=kormo, **values)
    resolved = yaml.safe_load(path.read_text())
    resolved["kormo"]["data"] = DATA  # in the place of the rows of `base`, not merged with them
    path.write_text(yaml.safe_dump(resolved, allow_unicode=True, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def dpo(lab: Lab, trained: Any) -> Path:
    """The recipe of a watched run of 6 steps, its pairs padded."""
    lab.module("watch_plugin", WATCH)
    path = recipe(lab, "dpo", kormo={"plugins": ["watch_plugin"], "callbacks": [{"name": "watch"}]})
    done = lab.axolotl("train", str(path), "--launcher", "python", KORMO_WATCH=str(lab.folder / "seen.json"))
    assert done.returncode == 0, done.stderr[-4000:]
    return path


def test_pairs_without_padding_are_the_same_training(lab: Lab, dpo: Path) -> None:
    """`kormo.pack_pairs` changes where texts stand, and neither losses nor weights."""
    path = recipe(lab, "packed", kormo={"pack_pairs": True}, max_steps=4)
    done = lab.axolotl("train", str(path), "--launcher", "python")
    assert done.returncode == 0, done.stderr[-4000:]
    padded, packed = (
        [line["loss"] for line in read_metrics(lab.out(name) / "metrics.jsonl") if "loss" in line]
        for name in ("dpo", "packed")
    )
    assert len(packed) == 4 and packed == pytest.approx(padded[:4], rel=1e-4)
    one, other = (
        load_file(folder / "model.safetensors") for folder in (lab.out("dpo") / "checkpoint-4", lab.out("packed"))
    )
    assert one.keys() == other.keys() and all((one[key] - other[key]).abs().max() < 1e-4 for key in one)


def test_one_model_is_trained_on_our_ids_and_resumes_to_the_same_weights(lab: Lab, dpo: Path) -> None:
    from transformers import AutoTokenizer

    out = lab.out("dpo")
    seen = json.loads((lab.folder / "seen.json").read_text())
    weights = load_file(out / "model.safetensors")
    assert seen["live"] == ["KORMoForCausalLM"] and seen["loads"] == [False], "a second model was loaded"
    assert seen["parameters"] == sum(tensor.numel() for tensor in weights.values())

    tokenizer = AutoTokenizer.from_pretrained(out)
    pairs = [
        json.loads(line) for file in lab.folder.glob("artifacts/preferences-*/pairs.jsonl") for line in file.open()
    ]
    texts = {side: {p["prompt"] + p[side]: p for p in pairs} for side in ("chosen", "rejected")}
    half = len(seen["input_ids"]) // 2
    for row, (ids, mask, completion) in enumerate(
        zip(seen["input_ids"], seen["attention_mask"], seen["completion_mask"], strict=True)
    ):
        side = "chosen" if row < half else "rejected"
        real = ids[: sum(mask)]
        pair = texts[side][tokenizer.decode(real)]
        prompt = tokenizer.encode(pair["prompt"], add_special_tokens=False)
        assert real == prompt + tokenizer.encode(pair[side], add_special_tokens=False)
        assert completion == [0] * len(prompt) + [1] * (len(real) - len(prompt)) + [0] * (len(ids) - len(real))

    losses = [line["loss"] for line in read_metrics(out / "metrics.jsonl") if "loss" in line]
    assert len(losses) == 6 and losses[0] == pytest.approx(0.693147, abs=1e-4) and losses[-1] < losses[0]
    for step in (2, 4, 6):
        assert fault(out / f"checkpoint-{step}") is None
    assert fault(out) is None and (out / "export/config.json").is_file()
    config = json.loads((out / "config.json").read_text())
    assert config["use_cache"] is True and tokenizer.convert_ids_to_tokens(config["eos_token_id"]) == "<|EOT|>"
    record = json.loads((out / "run.json").read_text())
    assert set(record["data"]["sources"]) == {"ko", "en"}

    # as after a kill between steps 4 and 6, half of the newest checkpoint written
    shutil.rmtree(out / "export")
    for file in ("complete.json", "model.safetensors", "checkpoint-6/complete.json"):
        (out / file).unlink()
    again = lab.axolotl("train", str(dpo), "--launcher", "python", KORMO_WATCH=str(lab.folder / "again.json"))
    assert again.returncode == 0, again.stderr[-4000:]
    assert "checkpoint-6 is not used" in again.stderr and "building" not in again.stderr
    resumed = load_file(out / "model.safetensors")
    assert all((resumed[name] == weights[name]).all() for name in weights)


@pytest.mark.soak
def test_killed_at_random_and_resumed_is_bit_equal(lab: Lab, trained: Any) -> None:
    """SIGKILL again and again, also while the reference is computed or a checkpoint is written."""
    change = {"max_steps": 30, "save_steps": 1, "kormo": {"export": False, "samples": {"prompts": []}}}
    whole = lab.axolotl("train", str(recipe(lab, "dpo_whole", **change)), "--launcher", "python")
    assert whole.returncode == 0, whole.stderr[-4000:]
    path, metrics, dice = recipe(lab, "dpo_killed", **change), lab.out("dpo_killed") / "metrics.jsonl", random.Random(3)
    for _ in range(5):
        until = _lines(metrics) + dice.randint(0, 6)
        process = lab.start("train", str(path), "--launcher", "python")
        deadline = time.monotonic() + 300
        while _lines(metrics) <= until and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(dice.random() * 0.2)
        process.kill()
        process.wait()
    assert not (lab.out("dpo_killed") / "model.safetensors").exists(), "it was never killed in time"
    again = lab.axolotl("train", str(path), "--launcher", "python")
    assert again.returncode == 0, again.stderr[-4000:]
    one, other = (load_file(lab.out(name) / "model.safetensors") for name in ("dpo_whole", "dpo_killed"))
    assert all((one[name] == other[name]).all() for name in one)


@pytest.mark.soak
def test_two_ranks_see_the_same_pairs_and_losses_as_one(lab: Lab, trained: Any) -> None:
    """The reference is computed in parts, gathered and kept; the last part is smaller than the others."""
    change = {"micro_batch_size": 2, "kormo": {"export": False, "samples": {"prompts": []}}}
    one = lab.axolotl("train", str(recipe(lab, "dpo_one", **change)), "--launcher", "python")
    assert one.returncode == 0, one.stderr[-4000:]
    path = recipe(lab, "dpo_two", **change)
    two = lab.axolotl("train", str(path), "--launcher", "torchrun", "--", "--nproc_per_node=2", "--standalone",
                      OMP_NUM_THREADS="1")  # fmt: skip
    assert two.returncode == 0, two.stderr[-4000:]
    lines = [read_metrics(lab.out(name) / "metrics.jsonl") for name in ("dpo_one", "dpo_two")]
    for key in ("loss", "rewards/margins", "logps/chosen"):
        values = [[line[key] for line in run if key in line] for run in lines]
        assert values[0] == pytest.approx(values[1], rel=1e-4, abs=1e-4), key
    (kept,), (other,) = (list(lab.out(name).glob("reference_logps-*.npy")) for name in ("dpo_one", "dpo_two"))
    assert kept.name == other.name
    assert np.load(kept, allow_pickle=False) == pytest.approx(np.load(other, allow_pickle=False), abs=1e-3, nan_ok=True)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
