"""One real training, and its evaluation, of nothing but CONTRIBUTING's snippets."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from ..test_contributing import write_plugins
from .conftest import RECIPE, Lab, merged


@pytest.mark.soak
@pytest.mark.axolotl
def test_a_run_of_nothing_but_snippets(lab: Lab) -> None:
    """One `axolotl train` in which every component is one of CONTRIBUTING's, then its evaluation task."""
    plugins = write_plugins(lab.folder)
    (lab.folder / "lines.txt").write_text("".join(f"The {n}th line of a text that is read.\n" for n in range(2000)))
    source = {"license": "CC0-1.0"}
    data = {
        "name": "mine",
        "sources": {
            "read": {**source, "language": "en", "reader": {"name": "lines", "path": str(lab.folder / "lines.txt")}},
            "written": {**source, "language": "ko", "generator": {"name": "weather", "documents": 2000}},
        },
        "steps": [{"name": "few_digits"}],
        "packing": {"name": "next_fit"},
        "mixture": {"name": "in_turn"},
    }
    block = {
        "plugins": plugins,
        "tokenizer": {"train": {"name": "gpt2_split", "vocab_size": 400}},
        "data": data,
        "collator": {"name": "late", "first": 2},
        "kernels": [{"name": "tf32"}],
        "objective": {"name": "z_loss", "weight": 1e-4},
        "callbacks": [{"name": "disk"}],
    }
    values = merged(RECIPE, {"output_dir": str(lab.folder / "out-mine"), "max_steps": 4})
    values["kormo"] = {**values["kormo"], **block, "workspace": str(lab.folder / "artifacts")}
    values["kormo"]["architecture"] = {**RECIPE["kormo"]["architecture"], "name": "llama"}
    (lab.folder / "mine.yml").write_text(yaml.safe_dump(values, sort_keys=False))
    result = lab.axolotl("train", "mine.yml", "--launcher", "python")
    assert result.returncode == 0, result.stderr[-4000:]
    metrics = (lab.out("mine") / "metrics.jsonl").read_text()
    assert "disk/free_gb" in metrics and '"loss"' in metrics
    assert "float32 products in TF32" in result.stdout + result.stderr
    assert (lab.out("mine") / "export" / "model.safetensors").is_file()
    words = ["-m", "kormo_plugins.cli.main", "eval", str(lab.out("mine")), "--tasks", "capitals", "--json"]
    words += ["--plugin", "contributed_kormo_evaluation_tasks"]
    scored = subprocess.run(
        [sys.executable, *words], cwd=lab.folder, env=lab.environ(), capture_output=True, text=True, timeout=300
    )
    assert scored.returncode == 0 and '"capitals"' in scored.stdout, scored.stderr[-3000:]
