"""Says so when an extension of DeepSpeed waits for a lock.

torch compiles extensions under a lock file in `~/.cache/torch_extensions`, waits for it without a word and without end,
and leaves it behind when the compiling process is killed: every later training would hang.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.file_baton import FileBaton

LOG = logging.getLogger(__name__)
AFTER = 30.0
"""Seconds of waiting before the first message; each further one comes after twice as long."""


def tell_of_waiting() -> None:
    """Replaces the wait of torch's lock by one that logs which file it waits for, and for how long. Idempotent."""
    from torch.utils.file_baton import FileBaton

    setattr(FileBaton, "wait", _wait)  # noqa: B010


def _wait(baton: FileBaton) -> None:
    lock = Path(baton.lock_file_path)
    start, due = time.monotonic(), AFTER
    while lock.exists():
        time.sleep(baton.wait_seconds)
        if (waited := time.monotonic() - start) >= due:
            due *= 2
            LOG.warning(
                "waiting for %s for %.0f s: another process compiles this extension of DeepSpeed; if none does (it was "
                "killed), remove the file and this training goes on",
                lock,
                waited,
            )
