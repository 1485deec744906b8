"""Who builds, while the others wait: a lease is a file that only one process can create.

No collective and no `flock`: the processes may be ranks of one job, other jobs on the same filesystem, or none of
them may have a process group yet. The holder touches its file while it works; a lease that nobody has touched for
`STALE_AFTER` seconds belonged to a process that died, and is taken over.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HEARTBEAT = 5.0
"""Seconds between two touches by the holder."""

STALE_AFTER = 60.0
"""Seconds without a touch after which a lease is taken over; generous, since network filesystems cache times."""


class Lease:
    """An exclusively created file with host, process and heartbeat.

    Args:
        path: the lease file.
        heartbeat: seconds between touches.
        stale_after: seconds after which an untouched lease is taken over.
    """

    def __init__(self, path: Path, heartbeat: float = HEARTBEAT, stale_after: float = STALE_AFTER) -> None:
        self.path, self.heartbeat, self.stale_after = path, heartbeat, stale_after
        self._stop = threading.Event()
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"

    def acquire(self) -> bool:
        """True if this process now holds the lease; False if a live process does."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._create():
            return True
        if not self._abandoned():
            return False
        # Two processes may find the lease abandoned at once. Renaming it away succeeds for one of them only.
        grave = self.path.with_name(f"{self.path.name}.stale-{os.getpid()}-{time.time_ns()}")
        try:
            self.path.rename(grave)
        except FileNotFoundError:
            return False
        grave.unlink(missing_ok=True)
        return self._create()

    def _create(self) -> bool:
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w") as file:
            json.dump({"owner": self._owner, "host": socket.gethostname(), "pid": os.getpid()}, file)
        return True

    def _abandoned(self) -> bool:
        try:
            holder = json.loads(self.path.read_text() or "{}")
            age = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return False
        except ValueError:  # the holder is between creating and filling the file
            holder, age = {}, 0.0
        if holder.get("host") == socket.gethostname() and not _alive(int(holder.get("pid", 0))):
            return True
        return age > self.stale_after

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps the acquired lease alive for the length of the block, then gives it back."""
        self._stop.clear()
        thread = threading.Thread(target=self._beat, name=f"lease {self.path.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            if self._mine():
                self.path.unlink(missing_ok=True)

    def _mine(self) -> bool:
        try:
            return bool(json.loads(self.path.read_text()).get("owner") == self._owner)
        except (FileNotFoundError, ValueError):
            return False

    def _beat(self) -> None:
        while not self._stop.wait(self.heartbeat):
            try:
                os.utime(self.path)
            except FileNotFoundError:
                return


def _alive(pid: int) -> bool:
    if pid <= 0:
        return True  # not known: judged by its heartbeat
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
