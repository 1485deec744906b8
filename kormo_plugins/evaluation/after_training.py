"""`kormo.evaluate`: the finished model is scored by `kormo eval`, as the last act of a training.

It runs in a process of its own: the training's memory, process group and patches are none of its business, and whatever
happens to it, the training is finished and saved.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK")
"""Variables that would make the process wait for ranks that are gone."""
LAUNCHER_PREFIXES = ("ACCELERATE_", "TORCHELASTIC_", "FSDP_", "AXOLOTL_")


def _search_path() -> str:
    """Where the `kormo` command is: beside this interpreter first."""
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])


def command(folder: Path, wanted: Any, plugins: Sequence[str]) -> list[str]:
    """The command that does it, also to be repeated by hand.

    Args:
        wanted: the recipe's `kormo.evaluate`.
    """
    words = [shutil.which("kormo", path=_search_path()) or "kormo", "eval", str(folder)]
    for suite in wanted.suites:
        words += ["--suite", suite]
    if wanted.tasks:
        words += ["--tasks", ",".join(wanted.tasks)]
    if wanted.limit is not None:
        words += ["--limit", str(wanted.limit)]
    if wanted.data is not None:
        words += ["--data", str(wanted.data)]
    for module in plugins:
        words += ["--plugin", module]
    return words


def evaluate_run(folder: Path, wanted: object, plugins: Sequence[str], say: Callable[[str], None]) -> None:
    """Scores a finished run; a failure is told and changes nothing else."""
    words = command(folder, wanted, plugins)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in LAUNCHER and not name.startswith(LAUNCHER_PREFIXES)
    }
    code = subprocess.run(words, env=environment, check=False).returncode
    if code:
        again = " ".join(["kormo", *words[1:]])
        say(f"the evaluation ended with exit code {code}; the run itself is finished. Again: {again}")
