"""Reads error messages from the log of a child process, and detects a full disk."""

from __future__ import annotations

import re
from pathlib import Path

from kormo_plugins.errors import FULL, NEEDED, KormoError, writing

TAIL = 64_000
"""Bytes at the end of a log that are searched for a message."""
PROBE = 4_096
"""A disk with less free space, in bytes, counts as full."""
_MESSAGE = re.compile(r"kormo: (.+)\n  found:  (.+)\n  why:    (.+)\n  do:     (.+)")


def length(log: Path) -> int:
    """Current size of a log in bytes; call it before starting a program."""
    return log.stat().st_size if log.is_file() else 0


def told_in(log: Path, begin: int) -> KormoError | None:
    """The last KormoError that a program wrote to its log; None if there is none.

    Args:
        begin: the log's length before it was started.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(begin, log.stat().st_size - TAIL))
            matches = _MESSAGE.findall(file.read().decode("utf-8", "replace"))
    except OSError:
        return None
    if not matches:
        return None
    where, what, why, do = matches[-1]
    return KormoError(where=where, found=what, why=why, do=do)


def raise_full_disk(log: Path, begin: int) -> None:
    """Raises if a failed program's disk is full, since further runs would fail too.

    Args:
        begin: the log's length before it was started.
    Raises:
        KormoError: the log reports a full or too small disk, or there is no space left for a message.
    """
    error = told_in(log, begin)
    if error is not None and (FULL in error.found or NEEDED in error.found):
        raise error
    probe = log.with_name(f".{log.name}.probe")
    try:
        with writing(log.parent):
            probe.write_bytes(bytes(PROBE))
    finally:
        probe.unlink(missing_ok=True)
