"""Real `axolotl` processes on a recipe so small that a run is mostly start-up (about 20 s)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

PLUGIN = "kormo_plugins.KormoPlugin"

DATA: dict[str, Any] = {
    "name": "tiny",
    "sources": {
        "korean": {"language": "ko", "generator": {"name": "embedded", "language": "ko", "megabytes": 0.15, "seed": 1}},
        "english": {"language": "en", "generator": {"name": "embedded", "language": "en", "megabytes": 0.1, "seed": 1}},
    },
    "mixture": {"name": "weighted", "weights": {"korean": 60, "english": 40}},
}

RECIPE: dict[str, Any] = {
    "plugins": [PLUGIN],
    "kormo": {
        "architecture": {
            "name": "kormo", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 512,
            "rope_theta": 500000.0, "rms_norm_eps": 1e-5, "initializer_range": 0.02, "tie_word_embeddings": False,
            "vocab_multiple": 64,
        },
        "tokenizer": {"train": {"name": "kormo_bpe", "vocab_size": 500, "megabytes": 0.2}},
        "data": DATA,
        "global_batch": 8,
        "precision": {"weights": "float32", "compute": "float32", "optimizer": "float32"},
        "generation": {"do_sample": True, "temperature": 0.8},
        "samples": {"prompts": ["서울은", "The city"], "max_new_tokens": 4},
    },
    "sequence_len": 128,
    "micro_batch_size": 4,
    "max_steps": 8,
    "optimizer": "adamw_torch",
    "learning_rate": 0.01,
    "weight_decay": 0.033,
    "lr_scheduler": "constant",
    "attn_implementation": "sdpa",
    "seed": 7,
    "logging_steps": 1,
    "save_steps": 4,
    "save_total_limit": 2,
    "auto_resume_from_checkpoints": True,
}  # fmt: skip


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `change` put over it, mappings merged."""
    result = dict(base)
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


@dataclass
class Lab:
    """A folder with recipes, one workspace for all tests, and a way to run `axolotl` in it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def recipe(self, name: str, **change: Any) -> Path:
        """Writes a recipe `NAME.yml` whose output folder is `out-NAME`."""
        values = merged(RECIPE, {"output_dir": str(self.folder / f"out-{name}"), **change})
        values["kormo"]["workspace"] = values["kormo"].get("workspace") or str(self.folder / "artifacts")
        path = self.folder / f"{name}.yml"
        path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
        return path

    def out(self, name: str) -> Path:
        """The output folder of `recipe(name)`."""
        return self.folder / f"out-{name}"

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of a run."""
        root = str(Path(__file__).parents[2])
        paths = os.pathsep.join([root, str(self.folder)])
        here = str(Path(sys.executable).parent)
        return {
            **os.environ, "AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths,
            "PATH": here + os.pathsep + os.environ["PATH"], "OMP_NUM_THREADS": "2", **self.environment, **more,
        }  # fmt: skip

    def axolotl(self, *words: str, stdin: str | None = None, timeout: int = 300, **env: str) -> Any:
        """Runs `axolotl …` to its end."""
        return subprocess.run(
            ["axolotl", *words], cwd=self.folder, env=self.environ(**env), input=stdin, timeout=timeout,
            capture_output=True, text=True,
        )  # fmt: skip

    def train(self, name: str, *words: str, change: Mapping[str, Any] | None = None, **env: str) -> Any:
        """Writes the recipe and trains it in one process."""
        path = self.recipe(name, **dict(change or {}))
        return self.axolotl("train", str(path), "--launcher", "python", *words, **env)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """One folder for all real runs, so that artifacts are built once."""
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def trained(lab: Lab) -> Any:
    """The run that others are compared with: 8 steps, checkpoints at 4 and 8."""
    result = lab.train("base")
    assert result.returncode == 0, result.stderr[-4000:]
    return result


Recipe = Callable[..., Path]
