"""Processes that a command starts and waits for: none of them is left at work when the command is killed."""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Callable
from functools import partial

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent dies."""


def ends_with_us() -> Callable[[], object]:
    """To be called in a new child: when this process is killed, the child is asked to stop (Linux; elsewhere it does
    nothing)."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    return (lambda: None) if prctl is None else partial(prctl, PR_SET_PDEATHSIG, int(signal.SIGTERM))
