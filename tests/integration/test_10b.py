"""The 10B recipe, on tiny stand-in weights: the real optimizer and scheduler, against what KORMo published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import DATA, PLUGIN, RECIPE, Lab

pytestmark = pytest.mark.axolotl

ROOT = Path(__file__).parents[2]

BUILD = """
import json, sys
from axolotl.cli.config import load_cfg
from axolotl.integrations.base import PluginManager
from axolotl.train import setup_model_and_trainer
cfg = load_cfg(sys.argv[1])
trainer, model, *_ = setup_model_and_trainer(cfg, PluginManager.get_instance().load_datasets(cfg))
steps = trainer.args.max_steps
trainer.create_optimizer_and_scheduler(steps)
names = {id(p): n for n, p in model.named_parameters()}
groups = [{"weight_decay": g["weight_decay"], "lr": g["initial_lr"], "betas": g["betas"], "eps": g["eps"],
           "names": [names[id(p)] for p in g["params"]]} for g in trainer.optimizer.param_groups]
factor = trainer.lr_scheduler.lr_lambdas[0]
warmup = trainer.args.get_warmup_steps(steps)
points = {"0": 0, "warmup": warmup, "middle": steps // 2, "last": steps - 1}
print("RESULT" + json.dumps({
    "steps": steps, "warmup": warmup, "rows": len(trainer.train_dataset), "groups": groups,
    "optimizer": type(trainer.optimizer).__name__, "clip": trainer.args.max_grad_norm,
    "accumulation": trainer.args.gradient_accumulation_steps, "micro": trainer.args.per_device_train_batch_size,
    "factor": {name: factor(step) for name, step in points.items()},
    "kind": trainer.args.lr_scheduler_type, "save_steps": trainer.args.save_steps, "seed": trainer.args.seed}))
"""


@pytest.fixture(scope="module")
def built(lab: Lab) -> dict[str, Any]:
    recipe = lab.folder / "stand_in.yml"
    tiny = {**RECIPE["kormo"]["architecture"], "max_position_embeddings": 4096}
    recipe.write_text(yaml.safe_dump({
        "extends": str(ROOT / "recipes/10b/pretrain.yml"), "plugins": [PLUGIN],
        "deepspeed": None, "sdpa_varlen": None, "output_dir": str(lab.out("stand_in")),
        "kormo": {
            "architecture": tiny, "workspace": str(lab.folder / "artifacts"),
            "data": {**DATA, "extends": []},
            "tokenizer": {"train": {**RECIPE["kormo"]["tokenizer"]["train"], "extends": []}},
            "precision": {**RECIPE["kormo"]["precision"], "master": None},
        },
    }))  # fmt: skip
    done = lab.python(BUILD, str(recipe))
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout[done.stdout.index("RESULT") + 6 :].splitlines()[0])
    return result


def test_the_run_is_one_trillion_tokens_in_batches_of_eight_million(built: dict[str, Any]) -> None:
    tokens_per_step = built["micro"] * built["accumulation"] * 4096
    assert tokens_per_step == 2048 * 4096 == 8_388_608
    assert built["steps"] == -(-(10**12) // tokens_per_step)
    assert built["rows"] == built["steps"] * 2048


def test_adamw_with_the_published_values(built: dict[str, Any]) -> None:
    assert built["optimizer"] == "AdamW" and built["clip"] == 1.0
    assert built["seed"] == 42 and built["save_steps"] == 1000
    for group in built["groups"]:
        assert group["betas"] == [0.9, 0.95] and group["eps"] == 1e-8 and group["lr"] == 7e-4


def test_what_decays(built: dict[str, Any]) -> None:
    decay = {name: group["weight_decay"] for group in built["groups"] for name in group["names"]}
    assert decay["lm_head.weight"] == 0.033 and decay["model.embed_tokens.weight"] == 0.0
    for name, value in decay.items():
        expected = 0.0 if "norm" in name or "embed_tokens" in name else 0.033
        assert value == expected, name


def test_the_learning_rate_over_the_run(built: dict[str, Any]) -> None:
    assert built["kind"] == "warmup_stable_decay"
    assert built["warmup"] == int(0.03 * built["steps"])
    assert built["factor"] == pytest.approx({"0": 0.05, "warmup": 1.0, "middle": 1.0, "last": 1.0})
