"""Worker processes whose death is noticed.

A worker that the system kills (out of memory, most often) takes its task with it. `multiprocessing.Pool` starts another
worker and waits for the lost result for ever; here it is told, and what the workers finished is kept on disk by those
who sent them.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from kormo_plugins.console.signals import deferred
from kormo_plugins.errors import KormoError

P = ParamSpec("P")
T = TypeVar("T")

SAME_SIGNAL = 0.5
"""Seconds in which a signal that ended the workers reaches this process too, and says more than their death."""


class Workers(ProcessPoolExecutor):
    """A pool whose workers are started whole: SIGTERM ends the command before one or with all of them known.

    A child that is forked forgets the signals that it had got by then. They stay blocked, so that the kernel keeps
    them, until it is at work.
    """

    def __init__(self, number: int, start: str, initializer: Callable[[], None] | None) -> None:
        self._forks = start == "fork"
        begin = partial(_unblocked, initializer) if self._forks else initializer
        super().__init__(number, multiprocessing.get_context(start), begin)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Sends a task; the workers that are missing are started here."""
        with deferred():
            if not self._forks:
                return super().submit(fn, *args, **kwargs)
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            try:
                return super().submit(fn, *args, **kwargs)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _unblocked(then: Callable[[], None] | None) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if then is not None:
        then()


@contextmanager
def workers(
    number: int, where: str, *, start: str = "spawn", initializer: Callable[[], None] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """A pool of `number` processes, which are ended at once when the block fails.

    Args:
        where: what they work on, for the message.
        start: how they are started (`spawn`, `fork` or `forkserver`).
        initializer: called once in each of them.
    Raises:
        KormoError: one of them died without an error message.
    """
    pool = Workers(number, start, initializer)
    try:
        yield pool
        pool.shutdown()
    except BaseException as error:
        for process in list((pool._processes or {}).values()):  # from Python 3.14 on `terminate_workers` does this
            process.terminate()
        pool.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            time.sleep(SAME_SIGNAL)
            raise KormoError(
                where=where,
                found=f"one of {number} worker processes died without an error message",
                why="the system killed it; most often there was not enough memory for so many",
                do="run it again with fewer workers: what is finished is kept",
            ) from None
        raise
