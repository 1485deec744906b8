"""A real run, released, checked, built again from nothing, and one window of its steps repeated from a checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = """
extends: kormo:pretrain.yml
plugins: [kormo_plugins.KormoPlugin]
kormo:
  data: data.yml
  tokenizer: {train: tokenizer.yml}
  tokens: null
  global_batch: 2
  monitor: null
  report: false
  samples: {prompts: []}
micro_batch_size: 2
sequence_len: 128
max_steps: 8
save_steps: 2
save_total_limit: 10
logging_steps: 1
output_dir: out
"""
TOKENIZER = "name: kormo_bpe\nvocab_size: 1000\nmegabytes: 0.3\nshares: {ko: 1}\n"
DATA = """
name: case
sources:
  made: {license: made, language: ko, generator: {name: embedded, language: ko, megabytes: 0.3}}
steps: []
held_out: {documents: 0}
packing: {name: best_fit}
mixture: {name: weighted, weights: {made: 1}}
"""


def run(folder: Path, *words: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "kormo_plugins.cli.main", *words]
    environment = {**os.environ, "AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    assert done.returncode == status, done.stdout[-3000:]
    return done.stdout


@pytest.mark.soak
@pytest.mark.axolotl
def test_a_run_comes_out_again(tmp_path: Path) -> None:
    (tmp_path / "recipe.yml").write_text(RECIPE)
    (tmp_path / "data.yml").write_text(DATA)
    (tmp_path / "tokenizer.yml").write_text(TOKENIZER)
    run(tmp_path, "train", "recipe.yml", "--launcher", "python")
    assert "identity" in run(tmp_path, "release", "out", "given", "--checkpoint", "2", "--checkpoint", "4")
    assert "nothing differs" in run(tmp_path, "reproduce", "given", "--check")
    assert "nothing differs" in run(tmp_path, "reproduce", "given", "--steps", "2-4", "--out", "window")
    assert (tmp_path / "window/runs/out/checkpoint-4/model.safetensors").is_file()
    assert "nothing differs" in run(tmp_path, "reproduce", "given", "--build", "--out", "again")
