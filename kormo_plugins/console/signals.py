"""SIGTERM as an exception, so that leases are released, workers stopped and temporary files removed.

An exception from a signal handler is raised wherever the main thread happens to be. Two places must not see it: the
start of a worker, which would become an orphan, and code that Python calls without a caller (`__del__`, weak reference
callbacks, fork hooks), where an exception is printed and dropped. Libraries also drop it (bare `except:`) or replace it
by their own. So an exception that disappears before the command has ended is raised again, and a command that ends with
another error after the signal is treated as stopped.
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
"""EX_TEMPFAIL of sysexits.h: the same command can be run again, to continue or from the beginning."""

AGAIN_AFTER = 0.05
"""Seconds until a SIGTERM whose exception was dropped is sent again."""

_deferring = 0
_received = False
_ending = False


class Terminated(SystemExit):
    """The process received SIGTERM."""

    def __init__(self) -> None:
        super().__init__(EXIT_TRY_AGAIN)


def received() -> bool:
    """Whether this process received SIGTERM; later errors are consequences of it."""
    return _received


def ending() -> None:
    """Call this where `Terminated` is handled: it will not be raised again."""
    global _ending
    _ending = True


def raise_on_sigterm() -> None:
    """Makes SIGTERM raise `Terminated` in the main thread; a second one ends the process at once.

    Processes forked later keep the default behaviour.
    """
    command = os.getpid()

    global _forgotten

    def receive(number: int, frame: FrameType | None) -> None:
        """Handles the first SIGTERM: raises `Terminated` in the command's process; a child process dies, as by
        default."""
        global _received
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != command:
            os.kill(os.getpid(), number)
        _received = True
        if not _deferring:
            raise _watched()  # not bound to a name: the frame would keep it alive

    def again() -> None:
        """Sends the signal again after `AGAIN_AFTER` seconds, since the exception was dropped and the command is still
        running."""
        if _ending or os.getpid() != command:
            return
        signal.signal(signal.SIGTERM, receive)
        timer = threading.Timer(AGAIN_AFTER, os.kill, (command, signal.SIGTERM))
        timer.daemon = True
        timer.start()

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        """Python's hook for dropped exceptions; prints no traceback for `Terminated`, which is raised
        again."""
        if not isinstance(args.exc_value, Terminated) or os.getpid() != command:
            before(args)

    _forgotten = again
    before = sys.unraisablehook
    sys.unraisablehook = unraisable
    signal.signal(signal.SIGTERM, receive)


def _nothing() -> None:
    """Default if `raise_on_sigterm` was not called."""


_forgotten: Callable[[], None] = _nothing
"""Called when the exception was garbage collected."""


def _watched() -> Terminated:
    """The exception, with a finalizer that detects when it is dropped."""
    error = Terminated()
    weakref.finalize(error, _forgotten).atexit = False
    return error


@contextmanager
def deferred() -> Iterator[None]:
    """Defers `Terminated` of a SIGTERM inside the block to the end of the block.

    A signal mask is not enough in the parent: the kernel delivers a signal that one thread blocks to another one, and
    Python still runs the handler in the main thread.
    """
    global _deferring
    _deferring += 1
    try:
        yield
    finally:
        _deferring -= 1
    if _received and not _deferring:
        raise _watched()
