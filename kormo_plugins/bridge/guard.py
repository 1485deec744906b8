"""How a failing hook ends: with one message for bad input and system errors, with a traceback and a note for our bugs.

Axolotl calls the hooks and does not know our errors. Without this module, a full disk would end in forty lines of
traceback, and our bugs would be reported to Axolotl.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

from kormo_plugins.console.bug import report_this
from kormo_plugins.console.rank import launched_rank as rank
from kormo_plugins.errors import EXIT_BAD_INPUT, KormoError, disk_error_in, system_error

P = ParamSpec("P")
T = TypeVar("T")

COMMAND = "axolotl"
OTHER_RANKS_WAIT = 5.0
"""Seconds for which the other ranks wait for rank 0 to print: a launcher ends all ranks when one ends."""


def stop(error: KormoError) -> NoReturn:
    """Ends the process with the message, from rank 0 only."""
    if os.environ.get("KORMO_TRACEBACK"):
        raise error
    if rank() == 0:
        print(error.render(), file=sys.stderr, flush=True)
    else:
        time.sleep(OTHER_RANKS_WAIT)
    sys.exit(EXIT_BAD_INPUT)


def guarded(hook: Callable[P, T]) -> Callable[P, T]:
    """Decorates a hook so that a failure ends the process with a message; for a bug, the traceback follows."""

    @wraps(hook)
    def call(*words: P.args, **more: P.kwargs) -> T:
        """The hook; a KormoError ends the process with its message and exit status 2, and so does a full disk.
        Other exceptions are raised again, with their traceback."""
        try:
            return hook(*words, **more)
        except KormoError as error:
            stop(error)
        except Exception as error:
            message = system_error(error, COMMAND) if isinstance(error, OSError) else disk_error_in(error)
            if message is not None and not os.environ.get("KORMO_TRACEBACK"):
                stop(message)
            if message is None and rank() == 0:
                print(report_this(), file=sys.stderr, flush=True)
            raise

    return call
