"""`kormo ablate` for real: cells that share a start-up train what a process of their own trains, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.numpy import load_file

from .conftest import Lab

pytestmark = pytest.mark.axolotl


@pytest.mark.soak
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


def ablate(lab: Lab, name: str, *words: str, **spec: Any) -> subprocess.Popen[str]:
    """Starts `kormo ablate` on a file with these keys."""
    (lab.folder / f"{name}.yml").write_text(yaml.safe_dump(spec, sort_keys=False))
    command = [sys.executable, "-m", "kormo_plugins.cli.main", "ablate", f"{name}.yml", "--json", *words]
    return subprocess.Popen(
        command, cwd=lab.folder, env=lab.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip


@pytest.mark.soak
def test_killed_in_the_middle_of_a_cell_it_goes_on_and_ends_with_the_same_weights(lab: Lab) -> None:
    lab.recipe("longer", max_steps=60, save_steps=5)
    spec = {
        "question": "Does it go on?", "base": "longer.yml", "seeds": [7],
        "variants": {"plain": {}, "faster": {"learning_rate": 0.02}}, "measure": {"loss": {"metric": "loss"}},
    }  # fmt: skip
    whole = ablate(lab, "kept", "--out", "kept", **spec)
    told, error = whole.communicate(timeout=600)
    assert whole.returncode == 0, error[-3000:]
    cells = json.loads(told)["cells"]

    killed = ablate(lab, "kept", "--out", "killed", **spec)
    second = lab.folder / "killed" / "cells" / Path(cells[1]["folder"]).name
    until = time.monotonic() + 400
    while not list(second.glob("checkpoint-*/complete.json")):
        assert time.monotonic() < until and killed.poll() is None
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (second / "model.safetensors").is_file(), "it was over before it was killed"

    again = ablate(lab, "kept", "--out", "killed", **spec)
    told, error = again.communicate(timeout=600)
    assert again.returncode == 0, error[-3000:]
    found = json.loads(told)
    assert [cell["state"] for cell in found["cells"]] == ["reused", "trained"]
    assert "goes on" in (second / "log.txt").read_text() or "resum" in (second / "log.txt").read_text().lower()
    for cell in cells:
        name = Path(cell["folder"]).name
        one, other = (load_file(lab.folder / out / "cells" / name / "model.safetensors") for out in ("kept", "killed"))
        assert all((one[key] == other[key]).all() for key in one)


@pytest.mark.soak
def test_cells_by_a_launcher_and_a_cell_that_fails(lab: Lab) -> None:
    lab.recipe("launched", max_steps=2)
    started = ablate(
        lab, "launched_rates", question="Is it launched?", base="launched.yml", seeds=[7], launcher="torchrun",
        launcher_args=["--standalone", "--nproc_per_node=1"], measure={"loss": {"metric": "loss"}},
        variants={"plain": {}, "broken": {"learning_rate": 1e9}},
    )  # fmt: skip
    told, error = started.communicate(timeout=600)
    found = json.loads(told)
    assert started.returncode == 1, error[-3000:]
    assert [cell["state"] for cell in found["cells"]] == ["trained", "failed"]
    assert "exit status" in found["cells"][1]["reason"] and found["table"]["loss"]["plain"]["n"] == 1
