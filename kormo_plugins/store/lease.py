"""Leases: one process works in a folder while the others wait. A lease is the newest of a series of numbered files.

`PATH.7` is the seventh generation of a lease. Whoever takes over a lease creates the next number exclusively, so of
many that find generation 7 free only one holds generation 8. Three rules make that safe for any interleaving
(`tests/store/test_lease_model.py` walks through all of them):

1. only a file with a higher number supersedes a lease, and the newest file is never removed, not even when the lease is
   released: numbers never come back, so that a slow process cannot create a generation that has been and gone;
2. whoever has created a generation looks once more, and withdraws if there is a newer one;
3. a holder that was taken for dead finds that out by the newer number (`still_mine`) before it publishes anything.

No collective and no `flock`: the processes may be ranks of one job, other jobs on a shared file system, or containers.
A holder updates the modification time of its file every `HEARTBEAT` seconds. Clocks are never compared: a waiting
process measures on its own monotonic clock how long the heartbeat has not changed. Only for a holder on the same kernel
and in the same process namespace is the process table consulted, which answers at once.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.store.atomic import SUFFIX, publish_folder, temporary
from kormo_plugins.store.lease_files import Generations, Holder, Seen

log = logging.getLogger(__name__)

HEARTBEAT = 5.0
"""Seconds between a holder's heartbeats."""

STALE_AFTER = 60.0
"""Seconds without a heartbeat after which a lease may be taken over; generous, since network file systems cache."""

POLL = 0.5
"""Seconds between two checks of a lease whose holder may be dead."""

ABANDONED_AFTER = 3600.0
"""Seconds without a heartbeat after which a temporary folder of a process that is not visible is removed."""

RUN = ".run.lease"
"""Common name of the files of the lease that a run holds in its output folder."""


class Lease:
    """A lease, held by one process at a time.

    Args:
        path: common name of the lease's files.
        heartbeat: seconds between two heartbeats.
        stale_after: seconds without a heartbeat after which a holder that is not visible is presumed dead.
        on_lost: called in the heartbeat thread when another process has taken over the lease.
        files: replaces the file operations, for the model checker in the tests.
    """

    def __init__(
        self,
        path: Path,
        heartbeat: float = HEARTBEAT,
        stale_after: float = STALE_AFTER,
        on_lost: Callable[[], None] = lambda: None,
        files: Generations | None = None,
    ) -> None:
        self.path, self.heartbeat, self.stale_after = path, heartbeat, stale_after
        self._files = files or Generations(path)
        self._on_lost = on_lost
        self._holder = Holder.this_process()
        self._number = 0
        self._seen: tuple[int, Seen] | None = None
        self._since = 0.0
        self._beat_changed = False
        self._over = threading.Event()

    @property
    def token(self) -> str:
        """Random name of this attempt; part of the names of its files."""
        return self._holder.token

    def acquire(self) -> bool:
        """True if this process now holds the lease; False if another one does, or may.

        Call it repeatedly to find out whether a silent holder is dead: the silence is measured from the first call.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        newest = self._files.newest()
        if newest and not self._is_free(newest):
            return False
        number = newest + 1
        if not self._files.create(number, self._holder):
            return False
        present = self._files.numbers()
        if max(present, default=0) > number:  # this process was slow, and the number has already been used
            self._files.remove([number])
            return False
        self._files.remove([other for other in present if other < number])
        self._number = number
        return True

    def still_mine(self) -> bool:
        """Whether this process still holds the lease; call it before publishing anything."""
        if not self._number or self._files.newest() != self._number:
            return False
        seen = self._files.read(self._number)
        return seen is not None and seen.holder is not None and seen.holder.token == self.token

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps the acquired lease alive for the block, then releases it."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    def start(self) -> None:
        """Starts the heartbeat of an acquired lease."""
        self._over.clear()
        self._thread = threading.Thread(target=self._beat, name=f"lease {self.path.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops the heartbeat and releases the lease, if this process still holds it."""
        self._over.set()
        self._thread.join()
        try:
            self.release()
        except OSError as error:
            log.warning(
                "%s: cannot be released (%s); other processes wait up to %.0f s for it",
                self.path,
                error,
                self.stale_after,
            )

    def release(self) -> None:
        """Releases the lease, if this process still holds it."""
        if self.still_mine():
            self._files.release(self._number, self._holder)
        self._number = 0

    def live_holder(self) -> str | None:
        """The holder of the lease, for a message; None unless it is known to be alive.

        That is a process that is visible from here, or one whose heartbeat has changed since the first `acquire`.
        """
        if self._seen is None:
            return None
        holder = self._seen[1].holder
        if holder is None:
            return "an unknown process" if self._beat_changed else None
        return str(holder) if holder.alive() or self._beat_changed else None

    def _is_free(self, number: int) -> bool:
        now = time.monotonic()  # before the file is read: a pause between the two must not count as silence
        seen = self._files.read(number)
        if seen is None:
            return False  # superseded since the directory was listed
        if seen.holder is not None and seen.holder.released:
            return True
        return self._is_gone(number, seen, now)

    def _is_gone(self, number: int, seen: Seen, now: float) -> bool:
        if self._seen != (number, seen):
            self._beat_changed = self._seen is not None and self._seen[0] == number
            self._seen, self._since = (number, seen), now
        if seen.holder is not None and seen.holder.alive() is False:
            return True
        return now - self._since > self.stale_after

    def _beat(self) -> None:
        while not self._over.wait(self.heartbeat):
            try:
                if not self.still_mine():
                    self._on_lost()
                    return
                self._files.beat(self._number)
            except OSError as error:  # the file server may answer again before the lease is stale
                log.debug("%s: %s", self.path, error)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, under a temporary name beside `out`; it is renamed to `out` at the end of the block.

    If the block fails, nothing is left of it; what a killed process left is removed by the next one with the same
    `out`. The lease that shows which is which lies beside the folder: the files in it are listed and published. `out`
    must not exist, or must be empty.
    """
    remove_abandoned(out)
    partial = temporary(out)
    partial.mkdir(parents=True)
    lease = Lease(partial)
    try:
        lease.acquire()
        with lease.held():
            yield partial
            publish_folder(partial, out)
    finally:
        _remove(partial)


def remove_abandoned(out: Path) -> None:
    """Removes the temporary folders of `new_folder` beside `out` whose process is gone, or cannot be seen from here and
    has given no sign of life for `ABANDONED_AFTER` seconds. A folder without a lease is not ours to judge."""
    pattern = re.compile(rf"({re.escape(out.name)}\.[0-9a-f]{{8}}{re.escape(SUFFIX)})\.\d+")
    names = [path.name for path in out.parent.iterdir()] if out.parent.is_dir() else []
    for name in {match[1] for name in names if (match := pattern.fullmatch(name))}:
        if _is_abandoned(Generations(out.with_name(name))):
            _remove(out.with_name(name))


def _is_abandoned(files: Generations) -> bool:
    seen = files.read(files.newest())
    if seen is None:
        return False
    alive = seen.holder.alive() if seen.holder is not None else None
    if alive is None:  # by this machine's clock, which may differ from the file server's by less than that
        return time.time() - seen.beat / 1e9 > ABANDONED_AFTER
    return not alive or (seen.holder is not None and seen.holder.released)


def _remove(partial: Path) -> None:
    """Removes a temporary folder, then its lease."""
    shutil.rmtree(partial, ignore_errors=True)
    files = Generations(partial)
    if not partial.exists():
        files.remove(files.numbers())


class LeaseLost(KormoError):
    """Another process took over the lease, because this one gave no sign of life for too long."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            where=str(path),
            found="another process has taken over",
            why=f"this process sent no heartbeat for {STALE_AFTER:.0f} seconds (suspended, or the disk hung), "
            "and two processes would write the same files",
            do="run the command again: it waits for the other process, or resumes; this process published nothing",
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled by its path."""
        return type(self), (Path(self.where),)


def acquire_or_refuse(lease: Lease, what: str, tell: Callable[[str], None] = lambda line: None) -> None:
    """Acquires the lease, or raises an error that names the holder.

    A holder that is not visible from here (on another machine, in another container) is watched for at most
    `stale_after` seconds: a heartbeat shows that it is alive.

    Args:
        what: what is held, for the message.
        tell: called with one line before a wait.
    Raises:
        KormoError: another process holds it.
    """
    reported = False
    while not lease.acquire():
        holder = lease.live_holder()
        if holder is not None:
            raise _at_work(lease.path, holder, what)
        if not reported and lease.stale_after > POLL:
            tell(f"another process held {what}; waiting up to {lease.stale_after:.0f} s to see whether it is alive")
            reported = True
        time.sleep(min(POLL, lease.stale_after / 4))


def at_work(path: Path) -> str:
    """The process at work under a lease, for a message. Acquires nothing, and does not wait.

    Args:
        path: common name of the lease's files.
    Returns:
        `process 5 on 'host' is at work`. Empty if none is known to be: the lease was released, its process is gone or
        is this one, or it is elsewhere and has given no sign of life for `STALE_AFTER` seconds (by this machine's
        clock, since only a message depends on it).
    """
    files = Generations(path)
    seen = files.read(files.newest()) if path.parent.is_dir() else None
    holder = seen.holder if seen is not None else None
    if seen is None or holder is None or holder.released:
        return ""
    alive = holder.alive()
    if alive is None:
        silent = max(0.0, time.time() - seen.beat / 1e9)
        return f"{holder} sent a heartbeat {silent:.0f} s ago" if silent < STALE_AFTER else ""
    return f"{holder} is at work" if alive and holder.pid != os.getpid() else ""


def refuse_live(path: Path, what: str) -> None:
    """Refuses to go on while a live process of this machine holds a lease. Acquires nothing, and does not wait.

    Args:
        path: common name of the lease's files.
        what: what is held, for the message.
    Raises:
        KormoError: another process holds it.
    """
    files = Generations(path)
    seen = files.read(files.newest()) if path.parent.is_dir() else None
    holder = seen.holder if seen is not None else None
    if holder is not None and not holder.released and holder.alive():
        raise _at_work(path, str(holder), what)


def _at_work(path: Path, holder: str, what: str) -> KormoError:
    return KormoError(
        where=str(path.parent),
        found=f"{holder} is at work on {what}",
        why="two processes would write the same files",
        do="wait for it, stop it, or use another folder",
    )
