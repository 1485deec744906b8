"""Axolotl's other commands on our recipes, and bad input at its door."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from .conftest import Lab

pytestmark = pytest.mark.axolotl


def test_preprocess_builds_and_trains_nothing(lab: Lab, trained: Any) -> None:
    done = lab.axolotl("preprocess", str(lab.recipe("prepared", kormo={"data": {"name": "again"}})))
    assert done.returncode == 0, done.stderr[-3000:]
    assert not lab.out("prepared").joinpath("model.safetensors").exists()
    assert not list(lab.out("prepared").glob("checkpoint-*"))


@pytest.mark.soak
def test_inference_talks_to_the_trained_model(lab: Lab, trained: Any) -> None:
    done = lab.axolotl("inference", str(lab.folder / "base.yml"), stdin="서울은")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "<|BOS|>서울은" in done.stdout.replace(" ", "") or "서울은" in done.stdout


def test_inference_before_training_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from axolotl.cli.config import prepare_plugins
    from axolotl.integrations.base import PluginManager
    from axolotl.utils.dict import DictDefault

    monkeypatch.setattr(PluginManager, "_instance", None)
    path = lab.recipe("untrained")
    cfg = DictDefault({**yaml.safe_load(path.read_text()), "axolotl_config_path": str(path), "inference": True})
    with pytest.raises(SystemExit) as stopped:
        prepare_plugins(cfg)
    assert stopped.value.code == 2 and "has not been trained yet" in capsys.readouterr().err


def test_evaluate_says_who_evaluates(lab: Lab, trained: Any) -> None:
    """Axolotl asks no plugin for the documents of this command: it would fail over the placeholder of `datasets`."""
    done = lab.axolotl("evaluate", str(lab.folder / "base.yml"), "--launcher", "python")
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr[-3000:]
    assert f"run `kormo eval {lab.out('base')}`" in done.stderr


def test_a_sweep_over_a_recipe_of_relative_paths_says_why_not(lab: Lab, trained: Any) -> None:
    (lab.folder / "child.yml").write_text("extends: base.yml\nplugins: [kormo_plugins.KormoPlugin]\nseed: 5\n")
    (lab.folder / "sweep.yml").write_text("learning_rate: [0.01, 0.02]\n")
    done = lab.axolotl("train", "child.yml", "--launcher", "python", "--sweep", "sweep.yml")
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr[-3000:]
    assert "base.yml" in done.stderr and "Axolotl's --sweep copies the recipe" in done.stderr


@pytest.mark.parametrize("launcher", ["python", pytest.param("accelerate", marks=pytest.mark.soak)])
def test_bad_input_is_one_message(lab: Lab, launcher: str) -> None:
    path = lab.recipe("wrong", learning_rte=0.1)
    done = lab.axolotl("train", str(path), "--launcher", launcher)
    output = done.stdout + done.stderr
    assert output.count("learning_rte'\n") == 1 and "learning_rate" in output
    if launcher == "python":
        assert done.returncode == 2 and "Traceback" not in output
    else:  # accelerate adds its own words and status, after ours
        assert output.index("learning_rte") < output.index("CalledProcessError")


OTHER = '''
from axolotl.integrations.base import BasePlugin

class Other(BasePlugin):
    """Counts the calls of its register."""
    calls = 0
    def register(self, cfg):
        Other.calls += 1
'''

LOAD = """
import json, sys
from axolotl.cli.config import load_cfg, prepare_plugins
cfg = load_cfg(sys.argv[1])
import other_plugin
first = other_plugin.Other.calls
prepare_plugins(cfg)  # as Ray's workers do, on the validated configuration
print("RESULT" + json.dumps({
    "calls": first, "plugins": list(cfg.plugins), "path": str(cfg.axolotl_config_path), "base_model": cfg.base_model,
    "accumulation": cfg.gradient_accumulation_steps, "datasets": cfg.datasets[0]["path"], "steps": cfg.max_steps}))
"""


def test_a_parents_plugins_are_registered_exactly_once(lab: Lab, trained: Any) -> None:
    (lab.folder / "other_plugin.py").write_text(OTHER)
    lab.recipe("with_other", plugins=["kormo_plugins.KormoPlugin", "other_plugin.Other"])
    child = lab.folder / "child_of_other.yml"
    child.write_text(yaml.safe_dump({"extends": "with_other.yml", "plugins": ["kormo_plugins.KormoPlugin"]}))
    done = lab.python(LOAD, str(child))
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout[done.stdout.index("RESULT") + 6 :].splitlines()[0])
    assert result["calls"] == 1
    assert result["plugins"] == ["kormo_plugins.KormoPlugin", "other_plugin.Other"]
    assert result["path"] == str(lab.out("with_other") / "recipe.yml")
    assert result["base_model"].startswith(str(lab.folder / "artifacts" / "init-kormo-"))
    assert "/artifacts/rows-" in result["datasets"] and result["accumulation"] == 2 and result["steps"] == 8


def test_a_misspelt_plugin_stops_the_run(lab: Lab) -> None:
    path = lab.recipe("misspelt", plugins=["kormo_plugins.KormoPlugin", "no_such_module.Plugin"])
    done = lab.axolotl("train", str(path), "--launcher", "python")
    assert done.returncode == 2
    assert "no_such_module.Plugin" in done.stderr and "train without it" in done.stderr


def test_an_adapter_is_trained_and_merged(lab: Lab, trained: Any) -> None:
    kormo = {"from_run": str(lab.out("base")), "architecture": None, "tokenizer": None, "samples": {"prompts": []}}
    change = {
        "kormo": kormo, "adapter": "lora", "lora_r": 4, "lora_alpha": 8, "lora_target_linear": True, "max_steps": 2,
        **{f"lora_{part}_kernel": False for part in ("mlp", "qkv", "o", "embedding")},
    }  # fmt: skip
    done = lab.train("adapter", change=change)
    assert done.returncode == 0, done.stderr[-3000:]
    merged = lab.axolotl("merge-lora", str(lab.folder / "adapter.yml"))
    assert merged.returncode == 0, merged.stderr[-3000:]
    out = lab.out("adapter") / "merged"
    assert json.loads((out / "config.json").read_text())["model_type"] == "kormo"
    assert list(out.glob("*.safetensors"))
