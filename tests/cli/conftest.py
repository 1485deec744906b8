"""One tiny recipe, built once by a real `kormo` process; the tests look at it, or damage copies of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from kormo_plugins.cli.main import cli

SOURCES = {"korean": ("ko", 0.05, 1), "english": ("en", 0.03, 1), "more": ("en", 0.02, 2)}
DATA: dict[str, Any] = {
    "name": "tiny",
    "sources": {
        name: {"language": lang, "generator": {"name": "embedded", "language": lang, "megabytes": size, "seed": seed}}
        for name, (lang, size, seed) in SOURCES.items()
    },
    "mixture": {
        "name": "weighted",
        "weights": {"korean": 60, "rest": {"share": 40, "of": {"english": 1, "more": 3}}},
    },
}
RECIPE: dict[str, Any] = {
    "plugins": ["kormo_plugins.KormoPlugin"],
    "kormo": {
        "architecture": {
            "name": "kormo", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64,
            "rope_theta": 500000.0, "rms_norm_eps": 1e-5, "initializer_range": 0.02, "tie_word_embeddings": False,
            "vocab_multiple": 64,
        },
        "tokenizer": {"train": {"name": "kormo_bpe", "vocab_size": 400, "megabytes": 0.1}},
        "data": "data.yml",
        "global_batch": 8,
        "precision": {"weights": "float32", "compute": "float32", "optimizer": "float32"},
    },
    "sequence_len": 64, "micro_batch_size": 2, "max_steps": 60, "optimizer": "adamw_torch", "learning_rate": 0.01,
    "lr_scheduler": "constant", "attn_implementation": "sdpa", "seed": 7,
}  # fmt: skip


@dataclass
class Made:
    """The built recipe `recipe.yml` and dataset recipe `data.yml` in the current folder."""

    folder: Path
    built: list[dict[str, Any]]
    """What `kormo data build --json` printed."""

    def path(self, kind: str, name: str = "") -> Path:
        """Folder of the artifact of that kind (and name)."""
        return next(self.folder / row["path"] for row in self.built if row["kind"] == kind and name in row["name"])


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    (folder / "data.yml").write_text(yaml.safe_dump(DATA, sort_keys=False), encoding="utf-8")
    (folder / "recipe.yml").write_text(yaml.safe_dump(RECIPE, sort_keys=False), encoding="utf-8")
    root = str(Path(__file__).parents[2])
    out = subprocess.run(
        [sys.executable, "-m", "kormo_plugins.cli.main", "data", "build", "recipe.yml", "--json"],
        cwd=folder, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    return Made(folder, json.loads(out.stdout))


@pytest.fixture
def made(_made: Made, monkeypatch: pytest.MonkeyPatch) -> Made:
    """The built recipe, its folder made the current one; not to be changed."""
    monkeypatch.chdir(_made.folder)
    return _made


@pytest.fixture
def copy(_made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A copy of it that may be damaged."""
    folder = tmp_path / "copy"
    shutil.copytree(_made.folder, folder)
    monkeypatch.chdir(folder)
    return Made(folder, _made.built)


@pytest.fixture
def kormo() -> Callable[..., Result]:
    """`kormo …` in this process."""
    return lambda *words: CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def refused(kormo: Callable[..., Result]) -> Callable[..., str]:
    """`kormo …` that must end with status 2, a message of four lines and nothing on stdout; the message."""

    def run(*words: Any) -> str:
        result = kormo(*words)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert [part in result.stderr for part in ("kormo: ", "found:", "why:", "do:")] == [True] * 4
        return result.stderr

    return run
