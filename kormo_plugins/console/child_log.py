"""What a program of ours that ran in a process of its own has told in its log, and what it could not write there."""

from __future__ import annotations

import re
from pathlib import Path

from kormo_plugins.errors import FULL, KormoError, writing

TAIL = 64_000
"""Bytes at the end of a log in which a message is looked for."""
PROBE = 4_096
"""Bytes that fit on a disk that is not full."""
_MESSAGE = re.compile(r"kormo: (.+)\n  found:  (.+)\n  why:    (.+)\n  do:     (.+)")


def told_in(log: Path) -> KormoError | None:
    """The last message with which a program of ours ended; None where its log has none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            found = _MESSAGE.findall(file.read().decode("utf-8", "replace"))
    except OSError:
        return None
    if not found:
        return None
    where, what, why, do = found[-1]
    return KormoError(where=where, found=what, why=why, do=do)


def raise_full_disk(log: Path) -> None:
    """To be called when a program has failed: a full disk is no fault of one run, and the next would fail likewise.

    Raises:
        KormoError: the log tells of a full disk, or has no room for a message.
    """
    error = told_in(log)
    if error is not None and error.found.startswith(FULL):
        raise error
    probe = log.with_name(f".{log.name}.probe")
    try:
        with writing(log.parent):
            probe.write_bytes(bytes(PROBE))
    finally:
        probe.unlink(missing_ok=True)
