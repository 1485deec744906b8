"""numba's cache of one function, shared by processes: one compiles while others wait, and a damaged file or a full disk
costs no more than compiling again.

numba reads and writes its files while a function is called, so an error there would end whatever called it, as an error
of that work. It does not flush them to the disk either: after a power cut they can be empty.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)
LONGEST_WAIT = 60.0
"""Seconds to wait for another process that compiles the same function; then it is compiled here too. The slowest takes
two."""
_told: set[str] = set()


def guard(cache: Any, name: str, folder: Path) -> None:
    """Makes a function's cache (`numba.core.caching.Cache`) one that raises nothing.

    Args:
        name: of the function, for messages.
        folder: of the cache, for messages.
    """
    load, save = cache.load_overload, cache.save_overload

    def load_overload(*key: object) -> object:
        """The compiled code; None if there is none, or if it cannot be read: then it is compiled again."""
        try:
            return load(*key)
        except Exception as error:  # a damaged pickle raises anything
            _tell("damaged", f"compiled code of {name} in {folder} cannot be read ({_short(error)}): compiled again")
            with suppress(OSError):
                cache.flush()
            return None

    def save_overload(*entry: object) -> None:
        """Keeps the compiled code, if that is possible."""
        try:
            save(*entry)
        except Exception as error:
            _tell("full", f"compiled code cannot be kept in {folder} ({_short(error)}): each process compiles it again")
            cache.disable()

    cache.load_overload, cache.save_overload = load_overload, save_overload


def _tell(kind: str, line: str) -> None:
    """Logs a warning, the first of its kind in this process."""
    if kind not in _told:
        _told.add(kind)
        LOG.warning("%s", line)


def _short(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


@contextmanager
def alone(lock: Path | None) -> Iterator[None]:
    """Waits until no other process is in such a block for the same file; at most `LONGEST_WAIT`, and not at all where
    the file system has no locks. A lock ends with its process. None: no file."""
    file = -1 if lock is None else _opened(lock)
    try:
        end = time.monotonic() + LONGEST_WAIT
        while file >= 0 and not _locked(file) and time.monotonic() < end:
            time.sleep(0.01)
        yield
    finally:
        if file >= 0:
            os.close(file)  # which releases the lock


def _opened(lock: Path) -> int:
    """A descriptor of the file, which is created; -1 where that cannot be."""
    try:
        lock.parent.mkdir(mode=0o700, exist_ok=True)
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return -1


def _locked(file: int) -> bool:
    """Whether this process has the lock now, or cannot have one. A process that is forked meanwhile does not have it
    (POSIX record locks)."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True
