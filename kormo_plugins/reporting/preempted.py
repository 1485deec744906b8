"""What a page says of a run that a signal has stopped: where it stopped, and the command that continues it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

FILE = "preempted.json"
"""Written beside the checkpoint when a run exits with status 75; removed when it is started again."""


def stopped(folder: Path, record: Mapping[str, object]) -> str:
    """A sentence on the stop and the command that resumes the run; empty if the run was not preempted.

    Args:
        record: the run's `run.json`.
    """
    try:
        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, RecursionError):
        told = None
    step = told.get("step") if isinstance(told, dict) else None
    signal = told.get("signal") if isinstance(told, dict) else None
    where = f" after step {step:,}" if isinstance(step, int) and not isinstance(step, bool) else ""
    why = f" on {signal}" if isinstance(signal, str) else ""
    resumes = command(record)
    again = f"The same command resumes it{f': {resumes}' if resumes else ''}."
    return f"The run stopped{where}{why}, with a whole checkpoint (exit status 75). {again}"


def command(record: Mapping[str, object]) -> str:
    """The command that a run was started with, from its `run.json`; empty if that does not say."""
    recipe, changes = record.get("recipe"), record.get("overrides")
    if not isinstance(recipe, str) or not recipe:
        return ""
    if not isinstance(changes, Mapping) or not changes:
        return shlex.join(["axolotl", "train", recipe])
    words = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in changes.items()]
    return shlex.join(["kormo", "train", recipe, *words])
