"""SIGTERM as an exception: leases are given back, workers ended and temporary files removed on the way out.

Python raises what a handler raises wherever the main thread happens to be. Two places must not see it: the start of a
worker, which would be left without a parent that knows it, and whatever Python calls without a caller (`__del__`,
callbacks of weak references, hooks of a fork), where an exception is printed and forgotten. Libraries forget it too
(`except:` without a name), or raise an error of their own in its place. So an exception that is gone before the command
has ended is raised again, and a command that ends with another error after the signal ends as one that was stopped.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: the same command goes on from what is finished."""

AGAIN_AFTER = 0.05
"""Seconds until a SIGTERM whose exception was forgotten is sent again."""

_deferring = 0
_received = False
_ending = False


class Terminated(SystemExit):
    """The command was asked to end."""

    def __init__(self) -> None:
        super().__init__(EXIT_TRY_AGAIN)


def received() -> bool:
    """Whether this process was asked to end: whatever it meets from then on is a consequence."""
    return _received


def ending() -> None:
    """To be called where `Terminated` has arrived: it will not be raised again."""
    global _ending
    _ending = True


def raise_on_sigterm() -> None:
    """From here on SIGTERM raises `Terminated` in the main thread; a second one ends the process at once.

    Processes that are forked later die of it, as they would have: it is the command that decides.
    """
    command = os.getpid()

    global _forgotten

    def receive(number: int, frame: FrameType | None) -> None:
        """Handles the first SIGTERM: `Terminated` is raised in the command's process, and a child of it dies as by
        default."""
        global _received
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != command:
            os.kill(os.getpid(), number)
        _received = True
        if not _deferring:
            raise _watched()  # no name holds it here: the frame would keep it alive

    def again() -> None:
        """Sends the signal once more after `AGAIN_AFTER` seconds: Python has dropped the exception, so the command goes
        on."""
        if _ending or os.getpid() != command:
            return
        signal.signal(signal.SIGTERM, receive)
        timer = threading.Timer(AGAIN_AFTER, os.kill, (command, signal.SIGTERM))
        timer.daemon = True
        timer.start()

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        """Python's hook for exceptions that it drops, without the traceback of a `Terminated`, which is raised
        again."""
        if not isinstance(args.exc_value, Terminated) or os.getpid() != command:
            before(args)

    _forgotten = again
    before = sys.unraisablehook
    sys.unraisablehook = unraisable
    signal.signal(signal.SIGTERM, receive)


def _nothing() -> None:
    """Where no command has asked for the exception."""


_forgotten: Callable[[], None] = _nothing
"""What is done when the exception is gone."""


def _watched() -> Terminated:
    """The exception; it is noticed when nobody has it any more."""
    error = Terminated()
    weakref.finalize(error, _forgotten).atexit = False
    return error


@contextmanager
def deferred() -> Iterator[None]:
    """SIGTERM that arrives in the block raises `Terminated` at its end, and no sooner.

    A mask is not enough in the parent: the kernel gives a signal that one thread blocks to another one, and Python
    runs the handler in the main thread all the same.
    """
    global _deferring
    _deferring += 1
    try:
        yield
    finally:
        _deferring -= 1
    if _received and not _deferring:
        raise _watched()
