"""`kormo train` for real, and the card of a finished run."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import Lab

pytestmark = pytest.mark.axolotl


@pytest.mark.soak
def test_a_changed_run_keeps_its_recipe_and_its_changes(lab: Lab, trained: Any) -> None:
    recipe = lab.recipe("changed")
    changes = ["max_steps=2", "learning_rate=5e-3", f"output_dir={lab.folder / 'out-changed'}", "kormo.export=false"]
    result = subprocess.run(
        ["kormo", "train", recipe.name, *changes, "--launcher", "python"], cwd=lab.folder,
        env=lab.environ(KORMO_SAMPLES="off"), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    out = lab.folder / "out-changed"
    record = json.loads((out / "run.json").read_text())
    assert record["recipe"] == recipe.name and record["steps"] == 2
    assert record["overrides"] == {"max_steps": 2, "learning_rate": 5e-3, "output_dir": str(out), "kormo.export": False}
    kept = yaml.safe_load((out / "recipe.yml").read_text())
    assert (kept["max_steps"], kept["learning_rate"], kept["kormo"]["export"]) == (2, 5e-3, False)
    card = (out / "README.md").read_text()
    assert "`learning_rate: 0.005`" in card and not (out / "export").exists()


def test_the_card_says_what_was_recorded_and_nothing_else(lab: Lab, trained: Any) -> None:
    out = lab.out("base")
    record = json.loads((out / "run.json").read_text())
    losses = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = {line["step"]: line["loss"] for line in losses if "loss" in line}
    for folder in (out, out / "export"):
        card = (folder / "README.md").read_text()
        config = json.loads((folder / "config.json").read_text())
        assert f"| hidden_size | {config['hidden_size']} |" in card and f"layout `{config['model_type']}`" in card
        assert "| tokens | 8,192 |" in card  # 8 steps of 8 rows of 128 tokens
        values = list(steps.values())  # of eight, a mean of the first four and one of the last four
        assert f"{sum(values[:4]) / 4:.4f} (steps 1-4)" in card and f"{sum(values[4:]) / 4:.4f} (steps 5-8)" in card
        assert record["identity"]["tokenizer"] in card and record["versions"]["torch"] in card
        korean, english = (re.search(rf"^\| {name} \| ([\d.]+)% ", card, re.M) for name in ("korean", "english"))
        assert korean and english and float(korean[1]) + float(english[1]) == pytest.approx(100, abs=0.02)
        assert "100.00% are synthetic" in card
        assert "license:" not in card and "More information needed" not in card
    assert "fp32 logits, all equal" in (out / "export" / "README.md").read_text()
    assert _parameters(out) in (out / "README.md").read_text()


def _parameters(folder: Path) -> str:
    from safetensors.numpy import load_file

    return f"{sum(tensor.size for tensor in load_file(folder / 'model.safetensors').values()):,} parameters"
