"""The `kormo recipe` commands answer at once: none of them imports torch or Axolotl when Axolotl's keys are cached."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kormo_plugins.recipe.schema.axolotl import axolotl_keys

ROOT = Path(__file__).parents[2]
CODE = """
import sys
from click.testing import CliRunner
from kormo_plugins.cli.main import cli
from kormo_plugins.recipe.schema import json_schema
json_schema.AXOLOTL_PLUGINS = ()
for words in {commands!r}:
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, (words, result.output)
    heavy = {{"torch", "transformers", "axolotl", "datasets", "numba", "deepspeed"}} & set(sys.modules)
    if words[1:] == ["validate", words[-1]]:  # its own time is little more than that of pydantic and PyYAML
        heavy |= {{"numpy", "packaging.requirements", "psutil"}} & set(sys.modules)
    assert not heavy, (words, heavy)
"""


def test_no_command_about_recipes_imports_torch(tmp_path: Path) -> None:
    axolotl_keys()
    one, other = str(ROOT / "recipes/pretrain.yml"), str(ROOT / "recipes/10b/pretrain.yml")
    commands = [
        ["recipe", "validate", one], ["recipe", "show", one], ["recipe", "validate", one, other],
        ["recipe", "plan", other, "--gpus", "8"], ["recipe", "diff", one, other], ["recipe", "schema"],
        ["train", one, "seed=1", "--dry-run"],
    ]  # fmt: skip
    code = CODE.format(commands=commands)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
