"""`preempted.json`: the run stopped on a signal with a complete checkpoint, and the same command resumes from it.

The file replaces an exit status: torchrun and accelerate exit with 1 whatever a rank returned. It is removed when the
run is started again, so a program that finds it (`kormo run`, a Slurm script) may run the command again.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

from kormo_plugins.store.json_file import check_shape, read_object, write_json

EXIT_PREEMPTED = 75
"""EX_TEMPFAIL of sysexits.h: the exit status of a run that stopped on a signal and can be started again."""

FILE = "preempted.json"


def write(output_dir: Path, step: int, number: int) -> None:
    """Writes `preempted.json`, atomically."""
    record = {
        "step": step,
        "checkpoint": f"checkpoint-{step}",
        "signal": signal.Signals(number).name,
        "time": time.time(),
    }
    write_json(output_dir / FILE, record)


def read(output_dir: Path) -> dict[str, object] | None:
    """Reads `preempted.json`; None if the run in this folder was not preempted.

    Raises:
        KormoError: the file is damaged or has an unknown format.
    """
    path = output_dir / FILE
    if not path.is_file():
        return None
    fix = f"remove {path} and run the same command again: it resumes from the last whole checkpoint"
    record = read_object(path, missing=("the run was preempted", fix), fix=fix)
    check_shape(path, record, {"step": int, "checkpoint": str, "signal": str, "time": (int, float)}, fix)
    return record


def clear(output_dir: Path) -> None:
    """Removes `preempted.json`; called when the run is started again."""
    (output_dir / FILE).unlink(missing_ok=True)
