"""What a short command costs: processor time of a whole process, beside the libraries that it cannot do without.

    python tests/benchmarks/startup.py [--runs 20]

The floors are Python itself, PyYAML with click and pluggy, and those with pydantic up to the validator of one model.
The peer is `axolotl --help`, run three times, as it takes seconds. The commands take turns, so that a busy machine
slows all of them alike; the median counts, and the least is printed beside it. Byte code is written in a run before.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

LIBRARIES = "import yaml, click, pluggy"
MODEL = "from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator"
ONE_MODEL = f"{LIBRARIES}\n{MODEL}\nclass Model(BaseModel):\n    value: int = 0\nModel(value=1)"
KORMO = [sys.executable, "-c", "import sys; from kormo_plugins.cli.main import main; main()"]
RECIPES = measure.ROOT / "recipes"
PEER_RUNS = 3


def commands(folder: Path) -> dict[str, list[str]]:
    """Name -> command; `kormo data build` finds everything built."""
    quick = str(RECIPES / "pretrain.yml")
    built = folder / "built.yml"
    built.write_text(
        f"extends: {quick}\nplugins: [kormo_plugins.KormoPlugin]\nkormo: {{workspace: {folder}/artifacts}}\n",
        encoding="utf-8",
    )
    return {
        "python": [sys.executable, "-c", "pass"],
        "yaml, click, pluggy": [sys.executable, "-c", LIBRARIES],
        "and a model of pydantic's": [sys.executable, "-c", ONE_MODEL],
        "kormo --help": [*KORMO, "--help"],
        "kormo recipe validate": [*KORMO, "recipe", "validate", quick],
        "kormo recipe validate 10b": [*KORMO, "recipe", "validate", str(RECIPES / "10b/pretrain.yml")],
        "kormo recipe diff": [*KORMO, "recipe", "diff", quick, str(RECIPES / "10b/pretrain.yml")],
        "kormo data build": [*KORMO, "data", "build", str(built)],
        "axolotl --help": [str(Path(sys.executable).with_name("axolotl")), "--help"],
    }


def spent(command: list[str], folder: Path) -> float:
    """Processor seconds, user and system, of a command and its children."""
    environment = {**os.environ, "PYTHONPATH": str(measure.ROOT)}
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=nowhere, stderr=nowhere)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="runs of each short command")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as temporary:
        listed, folder = commands(Path(temporary)), Path(temporary, "empty")
        folder.mkdir()
        for command in listed.values():
            spent(command, folder)  # builds, writes byte code, fills the cache of Axolotl's keys
        seconds: dict[str, list[float]] = {name: [] for name in listed}
        for run in range(runs):
            for name, command in listed.items():
                if name != "axolotl --help" or run < PEER_RUNS:
                    seconds[name].append(spent(command, folder))
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    for name, found in seconds.items():
        print(f"{name:28} {medians[name]:7.3f} s  (least {min(found):.3f})")
    print(
        json.dumps(
            {
                "name": "start-up", "unit": "processor seconds", "ours": round(medians["kormo recipe validate"], 3),
                "floor": round(medians["and a model of pydantic's"], 3), "help": round(medians["kormo --help"], 3),
                "peer": round(medians["axolotl --help"], 3), "peer_name": "axolotl --help",
                "ratio": round(medians["axolotl --help"] / medians["kormo --help"], 1),
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
