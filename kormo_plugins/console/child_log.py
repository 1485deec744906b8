"""What a program of ours that ran in a process of its own has told in its log, and what it could not write there."""

from __future__ import annotations

import re
from pathlib import Path

from kormo_plugins.errors import FULL, NEEDED, KormoError, writing

TAIL = 64_000
"""Bytes at the end of a log in which a message is looked for."""
PROBE = 4_096
"""Bytes that fit on a disk that is not full."""
_MESSAGE = re.compile(r"kormo: (.+)\n  found:  (.+)\n  why:    (.+)\n  do:     (.+)")


def length(log: Path) -> int:
    """Bytes of a log that earlier programs have written: to be asked before one is started."""
    return log.stat().st_size if log.is_file() else 0


def told_in(log: Path, begin: int) -> KormoError | None:
    """The last message with which a program of ours ended; None where it told none.

    Args:
        begin: the log's length before it was started.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(begin, log.stat().st_size - TAIL))
            found = _MESSAGE.findall(file.read().decode("utf-8", "replace"))
    except OSError:
        return None
    if not found:
        return None
    where, what, why, do = found[-1]
    return KormoError(where=where, found=what, why=why, do=do)


def raise_full_disk(log: Path, begin: int) -> None:
    """To be called when a program has failed: a full disk is no fault of one run, and the next would fail likewise.

    Args:
        begin: the log's length before it was started.
    Raises:
        KormoError: the log tells of a full disk, or of one that is too small, or has no room for a message.
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
