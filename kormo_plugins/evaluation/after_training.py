"""`kormo.evaluate`: runs `kormo eval` on the finished model after training.

It runs in a separate process, so it does not share the training's memory, process group or patches, and a failure
cannot affect the saved run.
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
"""Environment variables of torchrun, which would make the process wait for ranks that have exited."""
LAUNCHER_PREFIXES = ("ACCELERATE_", "TORCHELASTIC_", "FSDP_", "AXOLOTL_")


def _search_path() -> str:
    """Search path for the `kormo` command: this interpreter's folder first, then `PATH`."""
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])


def command(folder: Path, wanted: Any, plugins: Sequence[str]) -> list[str]:
    """The evaluation command; it is also printed, so that a user can repeat it.

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
    """Scores a finished run; a failure is logged and has no other effect."""
    words = command(folder, wanted, plugins)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in LAUNCHER and not name.startswith(LAUNCHER_PREFIXES)
    }
    code = subprocess.run(words, env=environment, check=False).returncode
    if code:
        again = " ".join(["kormo", *words[1:]])
        say(f"the evaluation ended with exit code {code}; the run itself is finished. To repeat it: {again}")
