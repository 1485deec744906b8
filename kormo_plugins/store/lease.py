"""Leases: one process works in a folder while the others wait. A lease is the newest of a series of numbered files.

`PATH.7` is the seventh generation of a lease. Whoever takes over a lease creates the next number exclusively, so of
many that find generation 7 free only one holds generation 8. Three rules make that safe for any interleaving
(`tests/store/test_lease_model.py` walks through all of them):

1. only a file with a higher number supersedes a lease, and the newest file is never removed, not even when the lease is
   released: numbers never come back, so that a slow process cannot create a generation that has been and gone;
2. whoever has created a generation looks once more, and withdraws if there is a newer one;
3. a holder that was taken for dead finds that out by the newer number (`still_mine`) before it publishes anything.

No collective and no `flock`: the processes may be ranks of one job, other jobs on a shared file system, or containers.
A holder changes the modification time of its file every `HEARTBEAT` seconds. Clocks are never compared: a waiting
process measures on its own monotonic clock for how long the heartbeat has not changed. Only for a holder on the same
kernel and in the same process namespace is the process table asked, and answers at once.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from kormo_plugins.errors import KormoError, writing

log = logging.getLogger(__name__)

HEARTBEAT = 5.0
"""Seconds between two heartbeats of a holder."""

STALE_AFTER = 60.0
"""Seconds without a heartbeat after which a lease may be taken over; generous, since network file systems cache."""

POLL = 0.5
"""Seconds between two checks of a lease whose holder may be dead."""

RUN = ".run.lease"
"""Common name of the files of the lease that a run holds in its output folder."""

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_MAX_RECORD = 4096
"""Bytes that are read of a lease file; ours have some 200."""


@dataclass(frozen=True)
class Holder:
    """What a holder writes into its file.

    Args:
        token: random, one for each attempt.
        host: for messages.
        machine: boot id of the kernel and its process namespace; empty where neither is known.
        pid, started: the process, and its start in clock ticks after boot, since process numbers are reused.
        released: set when the holder gives the lease back.
    """

    token: str
    host: str = ""
    machine: str = ""
    pid: int = 0
    started: str = ""
    released: bool = False

    @classmethod
    def this_process(cls) -> Holder:
        """A new holder in this process."""
        pid = os.getpid()
        return cls(secrets.token_hex(8), socket.gethostname(), _machine(), pid, _started(pid) or "")

    @classmethod
    def parse(cls, data: bytes) -> Holder | None:
        """The holder in a lease file; None for anything else (half-written, damaged, another program's)."""
        try:
            values = json.loads(data)
            read = {field.name: values[field.name] for field in fields(cls)}
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        holder = cls(**read)
        well_typed = all(type(read[name]) is type(value) for name, value in asdict(cls("")).items())
        return holder if well_typed else None

    def __str__(self) -> str:
        """For a message."""
        return f"process {self.pid} on {self.host!r}"

    def alive(self) -> bool | None:
        """Whether the process is there; None where this process cannot see it."""
        if not self.machine or self.machine != _machine():
            return None
        return bool(self.started) and _started(self.pid) == self.started


@dataclass(frozen=True)
class Seen:
    """A lease file as read: its holder (None: unreadable) and its heartbeat, only ever compared for change."""

    holder: Holder | None
    beat: int


class Generations:
    """The numbered files of one lease.

    Args:
        path: their common name; generation N is `path.N`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, number: int) -> Path:
        """The file of a generation."""
        return self.path.with_name(f"{self.path.name}.{number}")

    def numbers(self) -> list[int]:
        """All generations that are there, in no order."""
        prefix = self.path.name + "."
        names = (file.name for file in self.path.parent.iterdir())
        ends = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
        return [int(end) for end in ends if _NUMBER.fullmatch(end)]

    def newest(self) -> int:
        """The highest generation; 0 if there is none."""
        return max(self.numbers(), default=0)

    def create(self, number: int, holder: Holder) -> bool:
        """Creates a generation; False if it exists.

        Raises:
            KormoError: the disk is full. The file is withdrawn: nobody has held this generation, and others would wait
                for an empty one.
        """
        file = self.file(number).absolute()
        _created[file] = holder  # before: a signal may end this process between any two lines
        try:
            descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            _created.pop(file)
            return False
        try:
            with writing(file), os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                json.dump(asdict(holder), opened)
        except (OSError, KormoError):
            file.unlink(missing_ok=True)
            _created.pop(file)
            raise
        return True

    def read(self, number: int) -> Seen | None:
        """A generation; None if it is not there. It is opened, so that network file systems ask the server."""
        try:
            with self.file(number).open("rb") as file:
                beat = os.fstat(file.fileno()).st_mtime_ns
                return Seen(Holder.parse(file.read(_MAX_RECORD)), beat)
        except FileNotFoundError:
            return None
        except OSError:  # a folder of that name, no right to read it: judged by its heartbeat alone
            return Seen(None, 0)

    def beat(self, number: int) -> None:
        """Changes the heartbeat, to a time of the file server's."""
        os.utime(self.file(number))

    def release(self, number: int, holder: Holder) -> None:
        """Marks a generation as given back. Half a mark is unreadable, and taken over after `STALE_AFTER`."""
        try:
            with self.file(number).open(
                "r+", encoding="utf-8"
            ) as file:  # creates none: an older number must not return
                json.dump(asdict(replace(holder, released=True)), file)  # shorter: a full disk has this space
                file.truncate()
        except FileNotFoundError:  # superseded a moment ago
            return

    def remove(self, numbers: list[int]) -> None:
        """Removes generations, none of which is the newest."""
        for number in numbers:
            try:
                self.file(number).unlink()
            except OSError:  # gone already, or not ours to remove: a superseded file does no harm
                continue


_created: dict[Path, Holder] = {}
"""Lease files that this process may have created, given back at its end if nothing else has done so."""


@atexit.register
def _give_back() -> None:
    """A signal raises wherever the process is, between the creation of a file and the block that gives it back too."""
    for file, holder in list(_created.items()):
        files, number = Generations(file.with_suffix("")), int(file.suffix[1:])
        with suppress(OSError):
            if holder.pid == os.getpid() and files.newest() == number:
                seen = files.read(number)
                if seen is not None and seen.holder == holder:  # neither another's nor released
                    files.release(number, holder)


class Lease:
    """One holder at a time.

    Args:
        path: common name of the lease's files.
        heartbeat: seconds between two heartbeats.
        stale_after: seconds without one after which a holder that cannot be seen is taken for dead.
        on_lost: called in the heartbeat's thread when another process has taken the lease over.
        files: stands for the files, for the model of states.
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
        """Random name of this attempt, for the names of what it writes."""
        return self._holder.token

    def acquire(self) -> bool:
        """True if this process now holds the lease; False if another one does, or may.

        Call it again to learn whether a silent holder is dead: the silence is measured from the first call.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        newest = self._files.newest()
        if newest and not self._is_free(newest):
            return False
        number = newest + 1
        if not self._files.create(number, self._holder):
            return False
        present = self._files.numbers()
        if max(present, default=0) > number:  # this process was slow: the number has been and gone
            self._files.remove([number])
            return False
        self._files.remove([other for other in present if other < number])
        self._number = number
        return True

    def still_mine(self) -> bool:
        """Whether nobody has taken the lease over; to be asked before anything is published."""
        if not self._number or self._files.newest() != self._number:
            return False
        seen = self._files.read(self._number)
        return seen is not None and seen.holder is not None and seen.holder.token == self.token

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps the acquired lease alive for the length of the block, then gives it back."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    def start(self) -> None:
        """Begins the heartbeat of an acquired lease."""
        self._over.clear()
        self._thread = threading.Thread(target=self._beat, name=f"lease {self.path.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the heartbeat and gives the lease back, if it is still this process's."""
        self._over.set()
        self._thread.join()
        try:
            self.release()
        except OSError as error:
            log.warning("%s: %s; others wait %.0f s for it", self.path, error, self.stale_after)

    def release(self) -> None:
        """Gives the lease back, if it is still this process's."""
        if self.still_mine():
            self._files.release(self._number, self._holder)
        self._number = 0

    def live_holder(self) -> str | None:
        """Who is known to hold the lease now, for a message; None while nobody is known to be alive.

        Known is a process that this one can see, or one whose heartbeat has changed since the first `acquire`.
        """
        if self._seen is None:
            return None
        holder = self._seen[1].holder
        if holder is None:
            return "an unknown process" if self._beat_changed else None
        return str(holder) if holder.alive() or self._beat_changed else None

    def _is_free(self, number: int) -> bool:
        now = time.monotonic()  # before the look: a pause between the two must not count as silence
        seen = self._files.read(number)
        if seen is None:
            return False  # superseded since the list was read
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
            except OSError as error:  # a file server that does not answer now may do so in time
                log.debug("%s: %s", self.path, error)


class LeaseLost(KormoError):
    """Another process took the lease over: this one did not give a sign of life for too long."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            where=str(path),
            found="another process has taken over",
            why=f"this one gave no sign of life for {STALE_AFTER:.0f} seconds (suspended, or the disk hung), "
            "and two would write the same files",
            do="run the command again: it waits for the other, or goes on; nothing of this one was published",
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled by its path."""
        return type(self), (Path(self.where),)


def acquire_or_refuse(lease: Lease, what: str, tell: Callable[[str], None] = lambda line: None) -> None:
    """Acquires the lease, or says who holds it.

    A holder that this process cannot see (another machine, another container) is watched for at most `stale_after`
    seconds: a heartbeat shows that it is alive.

    Args:
        what: is held, for the message.
        tell: called with one line when there is something to wait for.
    Raises:
        KormoError: another process holds it.
    """
    told = False
    while not lease.acquire():
        holder = lease.live_holder()
        if holder is not None:
            raise _at_work(lease.path, holder, what)
        if not told and lease.stale_after > POLL:
            tell(f"another process held {what}; watching for up to {lease.stale_after:.0f} s whether it is alive")
            told = True
        time.sleep(min(POLL, lease.stale_after / 4))


def at_work(path: Path) -> str:
    """Who is at work under a lease, for a message; takes nothing and waits for nobody.

    Args:
        path: common name of the lease's files.
    Returns:
        `process 5 on 'host' is at work`. Empty where nobody is known to be: the lease was given back, its process is
        gone, it is this one, or it is elsewhere and has given no sign of life for `STALE_AFTER` seconds (by the clock
        of this machine, as only a message hangs on it).
    """
    files = Generations(path)
    seen = files.read(files.newest()) if path.parent.is_dir() else None
    holder = seen.holder if seen is not None else None
    if seen is None or holder is None or holder.released:
        return ""
    alive = holder.alive()
    if alive is None:
        silent = max(0.0, time.time() - seen.beat / 1e9)
        return f"{holder} gave a sign of life {silent:.0f} s ago" if silent < STALE_AFTER else ""
    return f"{holder} is at work" if alive and holder.pid != os.getpid() else ""


def refuse_live(path: Path, what: str) -> None:
    """Says who holds a lease, if that is a living process of this machine; takes nothing and waits for nobody.

    Args:
        path: common name of the lease's files.
        what: is held, for the message.
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
        why="two at a time would write the same files",
        do="wait for it or stop it, or name another folder",
    )


def _machine() -> str:
    """Boot id and process namespace: together they say that a process number means the same to both sides."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except (OSError, ValueError):
        return ""


def _started(pid: int) -> str | None:
    """Start of a process in clock ticks after boot; None if there is none, or only its exit status is left."""
    try:
        values = Path(f"/proc/{int(pid)}/stat").read_bytes().rpartition(b")")[2].split()
    except (OSError, ValueError, OverflowError):
        return None
    return None if len(values) < 20 or values[0] in (b"Z", b"X") else values[19].decode("ascii")
