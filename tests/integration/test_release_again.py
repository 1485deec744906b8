"""A real run and the nano chain, released, checked, built again from nothing, and a window of steps repeated.

`KORMO_NANO_CHAIN=/path/to/outputs/chains/nano` names a finished chain; without it the test trains one (11 minutes on 2
cores), and builds it again in as much.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.release.verify import Author, check
from kormo_plugins.store.sums import SUMS, files_of, sha256

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


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release of the nano chain, with two checkpoints of its first stage."""
    folder = tmp_path_factory.mktemp("nano")
    chain = os.environ.get("KORMO_NANO_CHAIN")
    if not chain:
        run(folder, "run", "kormo:chains/nano.yml")
        chain = "outputs/chains/nano"
    assert "identity" in run(folder, "release", chain, "given", "--checkpoint", "80", "--checkpoint", "160")
    return folder / "given"


@pytest.mark.soak
@pytest.mark.axolotl
def test_one_byte_changed_anywhere_in_the_nano_chains_release_is_found(nano: Path) -> None:
    identity, names, draw = sha256(nano / SUMS), [*files_of(nano), SUMS], random.Random(7)
    assert {"sft", "dpo", "pretrain"} <= {path.name for path in (nano / "runs").iterdir()}
    for name in names:
        path, place = nano / name, draw.randrange((nano / name).stat().st_size)
        with path.open("r+b") as file:
            byte = _other(file, place)
            try:
                found = [str(finding) for finding in check(nano, Author(identity))]
            except KormoError as error:
                found = [str(error)]
            assert found and Path(name).name in found[0], (name, place)
            _other(file, place, byte)
    assert check(nano, Author(identity)) == []


def _other(file: BinaryIO, place: int, byte: int | None = None) -> int:
    """Writes another byte at a place, or the one that is given; returns what was there."""
    file.seek(place)
    (was,) = file.read(1)
    file.seek(place)
    file.write(bytes([was ^ 1 if byte is None else byte]))
    file.flush()
    return was


@pytest.mark.soak
@pytest.mark.axolotl
def test_the_nano_chain_comes_out_again(nano: Path) -> None:
    """Seven stages from nothing: every artifact, every logged loss and every weight, bit for bit."""
    folder = nano.parent
    assert "nothing differs" in run(folder, "reproduce", "given", "--check")
    assert "nothing differs" in run(
        folder, "reproduce", "given", "--steps", "80-100", "--run", "pretrain", "--out", "window"
    )
    done = run(folder, "reproduce", "given", "--build", "--out", "again")
    assert "nothing differs" in done
    assert [line for line in done.splitlines() if "are those of the release" in line] and all(
        f"{path.name}: artifacts, losses and weights are those of the release" in done
        for path in (nano / "runs").iterdir()
    )
