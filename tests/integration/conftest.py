"""Real `axolotl` processes on a recipe so small that a run is mostly start-up.

The start-up (about 15 s) is paid by the run that all tests begin with and by those under a launcher; the others are
forked from a process that has imported everything (`tests/forked.py`), and differ from a fresh one in nothing else.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.forked import Child, Server

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


RANK = "import sys; from axolotl.cli.train import do_cli; do_cli(config=sys.argv[1])"
"""What a launcher runs in each rank (`python -m axolotl.cli.train RECIPE`)."""


AFTER_A_FAILURE = 30.0
"""Seconds that other ranks have to end by themselves once one has failed."""


@dataclass
class Lab:
    """A folder with recipes, one workspace for all tests, and a way to run `axolotl` in it."""

    folder: Path
    forks: Server
    environment: dict[str, str] = field(default_factory=dict)
    base: Any = None
    """What came of the first run."""

    def recipe(self, name: str, **change: Any) -> Path:
        """Writes a recipe `NAME.yml` whose output folder is `out-NAME`."""
        values = merged(RECIPE, {"output_dir": str(self.folder / f"out-{name}"), **change})
        values["kormo"]["workspace"] = values["kormo"].get("workspace") or str(self.folder / "artifacts")
        path = self.folder / f"{name}.yml"
        path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
        return path

    def module(self, name: str, source: str) -> None:
        """Writes a module that runs may be importing at this moment, in the other process of the tests too."""
        path = self.folder / f"{name}.py"
        if not path.exists():
            path.with_suffix(f".{os.getpid()}").write_text(source)
            path.with_suffix(f".{os.getpid()}").replace(path)

    def out(self, name: str) -> Path:
        """The output folder of `recipe(name)`."""
        return self.folder / f"out-{name}"

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of a run: one core, as two test processes share the machine."""
        root = str(Path(__file__).parents[2])
        paths = os.pathsep.join([root, str(self.folder)])
        here = str(Path(sys.executable).parent)
        return {
            **os.environ, "AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths,
            "PATH": here + os.pathsep + os.environ["PATH"], "OMP_NUM_THREADS": "1", "KORMO_CPU_THREADS": "1",
            **self.environment, **more,
        }  # fmt: skip

    def axolotl(
        self, *words: str, stdin: str | None = None, timeout: int = 300, fresh: bool = False, **env: str
    ) -> Any:
        """Runs `axolotl …` to its end.

        Args:
            fresh: in a process that pays its own start-up, as a user's does. So is every run under a launcher.
        """
        if not fresh and self._forkable(words, env):
            return self.start(*words, stdin=stdin or "", **env).completed(timeout)
        return subprocess.run(
            ["axolotl", *words], cwd=self.folder, env=self.environ(**env), input=stdin, timeout=timeout,
            capture_output=True, text=True,
        )  # fmt: skip

    def _forkable(self, words: tuple[str, ...], env: Mapping[str, str]) -> bool:
        here = words[0] in ("preprocess", "inference", "merge-lora") or "python" in words
        return here and self.forks.can(self.environ(**env))

    def start(self, *words: str, stdin: str = "", **env: str) -> Child:
        """Starts `axolotl …` without a launcher, to be signalled or waited for."""
        return self.forks.start("axolotl.cli.main:main", ["axolotl", *words], self.folder, self.environ(**env), stdin)

    def python(self, code: str, *words: str, timeout: int = 300, **env: str) -> Any:
        """Runs `python -c CODE …` to its end."""
        return self.forks.start(code, ["-c", *words], self.folder, self.environ(**env)).completed(timeout)

    def ranks(self, path: Path, count: int = 2, timeout: int = 300, **env: str) -> list[Any]:
        """Trains a recipe on several ranks of this machine, as torchrun would start them; rank 0 first."""
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
        started = [
            self.forks.start(
                RANK, ["train.py", str(path)], self.folder,
                self.environ(**where, LOCAL_WORLD_SIZE=str(count), RANK=str(rank), LOCAL_RANK=str(rank), **env),
            )
            for rank in range(count)
        ]  # fmt: skip
        end, failed = time.monotonic() + timeout, 0.0
        while any(child.poll() is None for child in started):
            if not failed and any(child.returncode for child in started):
                failed = time.monotonic()
            if (failed and time.monotonic() > failed + AFTER_A_FAILURE) or time.monotonic() > end:
                break  # as a launcher does: the others would wait for the one that is gone
            time.sleep(0.05)
        running = [rank for rank, child in enumerate(started) if child.returncode is None]
        for rank in running:
            started[rank].kill()
        done = [child.completed(timeout) for child in started]
        told = "\n".join(f"{run.returncode}\n{run.stdout}\n{run.stderr}"[-4000:] for run in done)
        assert failed or not running, f"{timeout} s; {told}"
        return done

    def train(self, name: str, *words: str, change: Mapping[str, Any] | None = None, **env: str) -> Any:
        """Writes the recipe and trains it in one process."""
        path = self.recipe(name, **dict(change or {}))
        return self.axolotl("train", str(path), "--launcher", "python", *words, **env)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, forks: Server) -> Lab:
    """One folder for all real runs, so that artifacts are built once: by the run that others are compared with.

    The processes of a test run share it: whichever comes second waits for that run. A recipe's name is used once.
    """
    here = tmp_path_factory.getbasetemp()
    lab = Lab((here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "lab", forks)
    lab.folder.mkdir(exist_ok=True)
    told = lab.folder / "base.json"
    with (lab.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            base = lab.axolotl("train", str(lab.recipe("base")), "--launcher", "python", fresh=True)
            told.write_text(json.dumps([base.returncode, base.stdout, base.stderr]))
    lab.base = subprocess.CompletedProcess([], *json.loads(told.read_text()))
    return lab


@pytest.fixture(scope="session")
def trained(lab: Lab) -> Any:
    """The run that others are compared with: 8 steps, checkpoints at 4 and 8."""
    assert lab.base.returncode == 0, lab.base.stderr[-4000:]
    return lab.base


Recipe = Callable[..., Path]
