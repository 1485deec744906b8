"""The files of a lease: numbered generations, and the holder that each names.

Which of them holds the lease, and when one may be taken over, says `lease.py`.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import secrets
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_MAX_RECORD = 4096
"""Bytes read of a lease file at most; a genuine one has about 200."""


@dataclass(frozen=True)
class Holder:
    """The content of a lease file.

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
        """A new holder for this process."""
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
        """Whether the process is alive; None if it is not visible from here."""
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
        """All existing generations, unordered."""
        prefix = self.path.name + "."
        names = (file.name for file in self.path.parent.iterdir())
        ends = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
        return [int(end) for end in ends if _NUMBER.fullmatch(end)]

    def newest(self) -> int:
        """The highest generation; 0 if there is none."""
        return max(self.numbers(), default=0)

    def create(self, number: int, holder: Holder) -> bool:
        """Creates a generation; False if it exists."""
        file = self.file(number).absolute()
        _created[file] = holder  # first: a signal may end this process between any two lines
        try:
            descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            _created.pop(file)
            return False
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(asdict(holder), opened)
        return True

    def read(self, number: int) -> Seen | None:
        """A generation; None if it does not exist. Opening the file makes network file systems ask the server."""
        try:
            with self.file(number).open("rb") as file:
                beat = os.fstat(file.fileno()).st_mtime_ns
                return Seen(Holder.parse(file.read(_MAX_RECORD)), beat)
        except FileNotFoundError:
            return None
        except OSError:  # a folder of that name, or no permission to read: only its heartbeat counts
            return Seen(None, 0)

    def beat(self, number: int) -> None:
        """Sends a heartbeat; the time is the file server's."""
        os.utime(self.file(number))

    def release(self, number: int, holder: Holder) -> None:
        """Marks a generation as released. A half-written mark is unreadable, and taken over after `STALE_AFTER`."""
        try:
            with self.file(number).open(
                "r+", encoding="utf-8"
            ) as file:  # must not create the file: an older number may not return
                file.truncate()
                json.dump(asdict(replace(holder, released=True)), file)
        except FileNotFoundError:  # superseded a moment ago
            return

    def remove(self, numbers: list[int]) -> None:
        """Removes generations, none of which is the newest."""
        for number in numbers:
            try:
                self.file(number).unlink()
            except OSError:  # already gone, or owned by somebody else: a superseded file does no harm
                continue


_created: dict[Path, Holder] = {}
"""Lease files that this process may have created; released at exit if nothing else has done so."""


@atexit.register
def _give_back() -> None:
    """Releases what is left: a signal may raise between the creation of a file and the block that releases it."""
    for file, holder in list(_created.items()):
        files, number = Generations(file.with_suffix("")), int(file.suffix[1:])
        with suppress(OSError):
            if holder.pid == os.getpid() and files.newest() == number:
                seen = files.read(number)
                if seen is not None and seen.holder == holder:  # neither another's nor released
                    files.release(number, holder)


def _machine() -> str:
    """Boot id and process namespace: where both agree, a process number means the same process to both sides."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except (OSError, ValueError):
        return ""


def _started(pid: int) -> str | None:
    """Start of a process in clock ticks after boot; None if it does not exist or is a zombie."""
    try:
        values = Path(f"/proc/{int(pid)}/stat").read_bytes().rpartition(b")")[2].split()
    except (OSError, ValueError, OverflowError):
        return None
    return None if len(values) < 20 or values[0] in (b"Z", b"X") else values[19].decode("ascii")
