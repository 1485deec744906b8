"""`.ci/compat` and its parts, short of running it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from kormo_plugins.cli.main import cli

CI = Path(__file__).parents[1] / ".ci"


def test_the_script_is_bash_and_names_files_that_are_there() -> None:
    subprocess.run(["bash", "-n", str(CI / "compat")], check=True)
    text = (CI / "compat").read_text(encoding="utf-8")
    tests = [line for line in text.splitlines() if line.startswith("python -m pytest")]
    named = [CI.parent / word for line in tests for word in line.split() if word.startswith("tests/")]
    assert len(tests) == 2 and len(named) > 4 and all(path.exists() for path in named)


def test_the_recipe_without_plugins_is_the_short_run_of_the_script() -> None:
    """Only then do their losses compare; Axolotl reads no parent, so that it finds no `plugins:`."""
    text = (CI / "compat").read_text(encoding="utf-8")
    values = yaml.safe_load((CI / "unnamed.yml").read_text(encoding="utf-8"))
    assert "plugins" not in values
    changed = text.partition("short_run=(")[2].partition(")")[0].split()[3:]
    overrides = dict(word.split("=", 1) for word in changed)
    flat = {
        **{f"kormo.{key}": value for key, value in values["kormo"].items()},
        "logging_steps": values["logging_steps"],
    }
    assert {key: yaml.safe_load(value) for key, value in overrides.items()} == flat
    assert values["extends"] == "../recipes/pretrain.yml" and changed


@pytest.mark.parametrize("named", [None, "python9.9"])
def test_an_interpreter_is_found_or_asked_for(named: str | None, tmp_path: Path) -> None:
    """pyenv's interpreters are often not on the path. This one ends with 3 as soon as it is to make an environment."""
    for version in ("9.9.2", "9.9.10"):
        python = tmp_path / "versions" / version / "bin/python9.9"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || {{ echo {version}; exit 3; }}\n')
        python.chmod(0o755)
    done = subprocess.run(
        [str(CI / "compat"), named or "python9.8", "0.21"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYENV_ROOT": str(tmp_path)},
    )  # fmt: skip
    if named:
        assert (done.returncode, done.stdout) == (3, "== install\n9.9.10\n")
    else:
        assert done.returncode == 2 and f"no python9.8 on the path, in {tmp_path}/versions" in done.stderr
        assert ".ci/compat /path/to/python 0.21" in done.stderr and "KORMO_COMPAT_ENV=DIR" in done.stderr


def test_its_chain_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["run", str(CI / "compat.yml"), "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    assert "dpo" in result.stdout


def run(folder: Path, losses: Mapping[int, float]) -> str:
    """A run's folder with a log of these losses, and a line that is none."""
    folder.mkdir()
    lines = [{"event": "start"}, *({"step": step, "loss": loss} for step, loss in losses.items())]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder)


@pytest.mark.parametrize(
    ("other", "status", "said"),
    [
        ({10: 4.0, 20: 3.0}, 0, "2 losses, largest difference 0.00e+00"),
        ({10: 4.0, 20: 3.000001}, 0, "1.00e-06 at step 20"),
        ({10: 4.1, 20: 3.0}, 1, "1.00e-01 at step 10"),
        ({10: 4.0}, 1, "other steps"),
        ({}, 1, "other steps"),
    ],
)
def test_losses_are_compared_step_by_step(other: dict[int, float], status: int, said: str, tmp_path: Path) -> None:
    runs = [run(tmp_path / "one", {10: 4.0, 20: 3.0}), run(tmp_path / "two", other)]
    done = subprocess.run(
        [sys.executable, str(CI / "same_losses"), *runs, "1e-5"], capture_output=True, text=True, check=False
    )
    assert done.returncode == status and said in done.stdout + done.stderr
