"""`kormo ablate` for real: cells that share a start-up train what a process of their own trains, bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from safetensors.numpy import load_file

from .conftest import Lab

pytestmark = pytest.mark.axolotl


def test_a_cell_is_the_run_that_axolotl_train_makes(lab: Lab) -> None:
    lab.recipe("ablated", max_steps=4)
    spec = {
        "question": "Does the rate matter?", "base": "ablated.yml", "seeds": [7],
        "variants": {"plain": {}, "faster": {"learning_rate": 0.02}}, "measure": {"loss": {"metric": "loss"}},
    }  # fmt: skip
    (lab.folder / "rate.yml").write_text(yaml.safe_dump(spec, sort_keys=False))
    command = [sys.executable, "-m", "kormo_plugins.cli.main", "ablate", "rate.yml", "--json"]
    result = subprocess.run(command, cwd=lab.folder, env=lab.environ(), capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stderr[-4000:]
    found = json.loads(result.stdout)
    plain, faster = (cell["measures"]["loss"] for cell in found["cells"])
    assert plain != faster and {cell["state"] for cell in found["cells"]} == {"trained"}
    # the second cell was trained after another one in the same warm process
    alone = lab.train("alone", change={"max_steps": 4, "learning_rate": 0.02})
    assert alone.returncode == 0, alone.stderr[-4000:]
    weights = load_file(lab.folder / found["cells"][1]["folder"] / "model.safetensors")
    others = load_file(lab.out("alone") / "model.safetensors")
    assert weights.keys() == others.keys() and all((weights[key] == others[key]).all() for key in weights)
