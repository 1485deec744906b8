"""SIGTERM as an exception: leases are given back, workers ended and temporary files removed on the way out."""

from __future__ import annotations

import os
import signal
from types import FrameType

EXIT_TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: the same command goes on from what is finished."""


class Terminated(SystemExit):
    """The command was asked to end."""

    def __init__(self) -> None:
        super().__init__(EXIT_TRY_AGAIN)


def raise_on_sigterm() -> None:
    """From here on SIGTERM raises `Terminated` in the main thread; a second one ends the process at once.

    Processes that are forked later die of it, as they would have: it is the command that decides.
    """
    command = os.getpid()

    def receive(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != command:
            os.kill(os.getpid(), number)
        raise Terminated

    signal.signal(signal.SIGTERM, receive)
