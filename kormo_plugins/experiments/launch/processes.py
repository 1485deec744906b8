"""Which processes of a training to signal: the ranks themselves, not their launcher.

torchrun gives its ranks 30 seconds after SIGTERM, and dies of SIGUSR1 without forwarding it; accelerate forwards
nothing. A rank that receives the signal itself writes a checkpoint and informs the others.
"""

from __future__ import annotations

import os
from pathlib import Path

RANK_MARKS = (b"LOCAL_RANK=", b"ACCELERATE_MIXED_PRECISION=")
"""Variables that a launcher sets for the processes that train."""


def ranks(pid: int) -> list[int]:
    """The training processes below `pid`, or `[pid]` without a launcher (or outside of Linux).

    Children of a rank (data loader workers) inherit its variables and are excluded.
    """
    if _is_rank(pid):
        return [pid]
    processes: list[int] = []
    waiting = [pid]
    children = _children()
    while waiting:
        parent = waiting.pop()
        for child in children.get(parent, ()):
            if _is_rank(child):
                processes.append(child)
            else:
                waiting.append(child)
    return sorted(processes) or [pid]


def tell(pids: list[int], number: int) -> None:
    """Sends the signal to each process that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name, with arbitrary characters) state parent …
            parent = int(entry.read_bytes().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it has exited
        children.setdefault(parent, []).append(int(entry.parent.name))
    return children


def _is_rank(pid: int) -> bool:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(variable.startswith(RANK_MARKS) for variable in variables)
