"""One run at a time in an output folder.

Two runs would write checkpoints of the same names and the same `metrics.jsonl`. The lease is acquired before anything
is built, and held until the process ends. A killed process loses it at once as seen from its own machine, and after a
minute of silence as seen from others.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from pathlib import Path

from kormo_plugins.store.lease import RUN, Lease, LeaseLost, acquire_or_refuse, refuse_live

_held: dict[Path, tuple[int, Lease]] = {}
"""Folder -> process id of the holder (a forked child holds nothing) and its lease."""


def occupy(output_dir: Path, tell: Callable[[str], None]) -> None:
    """Makes this process the only writer of the folder until it ends. Calling it again has no effect.

    Raises:
        KormoError: another run is writing there.
    """
    folder = output_dir.resolve()
    if folder in _held and _held[folder][0] == os.getpid():
        return
    lease = Lease(folder / RUN, on_lost=lambda: _end(folder))
    acquire_or_refuse(lease, f"a run in {output_dir}", tell)
    lease.start()
    _held[folder] = os.getpid(), lease
    atexit.register(leave, folder)  # absolute: the working directory may be gone by then


def refuse_occupied(output_dir: Path) -> None:
    """Refuses a folder that a run of this machine is writing to; for code that writes before the run acquires it.

    Raises:
        KormoError: a run of this machine is writing there.
    """
    refuse_live(output_dir.resolve() / RUN, f"a run in {output_dir}")


def leave(output_dir: Path) -> None:
    """Releases the folder, if this process holds it."""
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
    """Ends this process without another write: it was suspended for so long that another run has started."""
    print(LeaseLost(folder).render(), file=sys.stderr, flush=True)
    os._exit(1)
