"""Verifies everything that a run reads: before it starts if that takes seconds, otherwise while it trains.

Up to `AT_ONCE` bytes are verified before the run starts. Beyond that, a thread reads while the run trains; damage ends
the run with a message, and the model is not marked as finished before everything has been verified.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kormo_plugins.errors import EXIT_BAD_INPUT, KormoError, in_words
from kormo_plugins.store.files import FileRecord

AT_ONCE = 20_000_000_000
"""Bytes verified before a run: about ten seconds."""


@dataclass(frozen=True)
class Expected:
    """A file and its recorded size and checksum."""

    path: Path
    record: FileRecord


class Verification:
    """Reads files in a thread of its own.

    Args:
        files: what to compare.
        damaged: called in the thread with the first fault.
    """

    def __init__(self, files: Sequence[Expected], damaged: Callable[[KormoError], None]) -> None:
        self._files, self._damaged = files, damaged
        self._thread = threading.Thread(target=self._run, name="verification", daemon=True)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def wait(self) -> None:
        """Until all is read."""
        self._thread.join()

    def _run(self) -> None:
        try:
            for file in self._files:
                file.record.check(file.path)
        except KormoError as error:
            self._damaged(error)
        except OSError as error:
            self._damaged(_unreadable(error))


_running: list[Verification] = []


def verify(files: Sequence[Expected], tell: Callable[[str], None]) -> None:
    """Verifies the files, now or during the training that follows.

    Raises:
        KormoError: the first file that is missing, has another size, or (if verified now) other contents.
    """
    for file in files:
        file.record.check(file.path, contents=False)
    size = sum(file.record.bytes for file in files)
    if size <= AT_ONCE:
        for file in files:
            file.record.check(file.path)
        return
    tell(f"{size / 1e9:,.0f} GB of data are verified against their checksums during training")
    _running.append(Verification(files, _end))
    _running[-1].start()


def wait_for_verification(tell: Callable[[str], None]) -> None:
    """Waits until everything that the model was trained on has been verified; called before it is marked as
    finished."""
    while _running:
        tell("waiting until all data are verified against their checksums")
        _running.pop().wait()


def _end(error: KormoError) -> None:
    """Ends the process from the thread: no further checkpoint may come from damaged data."""
    print(error.render(), file=sys.stderr, flush=True)
    print("  note:   the run was training on it; checkpoints of this run may have seen damaged data", file=sys.stderr)
    sys.stderr.flush()
    os._exit(EXIT_BAD_INPUT)


def _unreadable(error: OSError) -> KormoError:
    return KormoError(
        where=str(error.filename),
        found=in_words(error),
        why="a file that the run reads cannot be read",
        do="check the disk, then run the same command again",
    )
