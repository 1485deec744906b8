"""One run at a time in an output folder.

Two would write checkpoints of the same names and one `metrics.jsonl`. The lease is taken before anything is built, and
kept until the process ends; a process that was killed loses it at once on its own machine, and after a minute of
silence for others.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from pathlib import Path

from kormo_plugins.store.lease import RUN, Lease, LeaseLost, acquire_or_refuse, refuse_live

_held: dict[Path, tuple[int, Lease]] = {}
"""Folder -> the process that holds it (a forked child holds nothing) and its lease."""


def occupy(output_dir: Path, tell: Callable[[str], None]) -> None:
    """Makes this process the one that writes into the folder, until it ends. Calling it again changes nothing.

    Raises:
        KormoError: another run is at work there.
    """
    folder = output_dir.resolve()
    if folder in _held and _held[folder][0] == os.getpid():
        return
    lease = Lease(folder / RUN, on_lost=lambda: _end(folder))
    acquire_or_refuse(lease, f"a run in {output_dir}", tell)
    lease.start()
    _held[folder] = os.getpid(), lease
    atexit.register(leave, folder)  # absolute: the current folder may be gone by then


def refuse_occupied(output_dir: Path) -> None:
    """For what writes into the folder before the run itself takes it.

    Raises:
        KormoError: a run of this machine is at work there.
    """
    refuse_live(output_dir.resolve() / RUN, f"a run in {output_dir}")


def leave(output_dir: Path) -> None:
    """Gives the folder back, if this process holds it."""
    folder = output_dir.resolve()
    pid, lease = _held.get(folder, (0, None))
    if lease is not None and pid == os.getpid():
        del _held[folder]
        lease.stop()


def still_ours(output_dir: Path) -> bool:
    """Whether nobody has taken the folder over; True where it was never occupied (a test, another launcher's rank)."""
    pid, lease = _held.get(output_dir.resolve(), (0, None))
    return lease is None or pid != os.getpid() or lease.still_mine()


def _end(folder: Path) -> None:
    """This process was stopped for so long that another run began: it ends without writing anything more."""
    print(LeaseLost(folder).render(), file=sys.stderr, flush=True)
    os._exit(1)
