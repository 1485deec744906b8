"""Worker processes with crash detection.

When the system kills a worker (usually out of memory), its task is lost. `multiprocessing.Pool` starts another worker
and waits for the lost result forever; here an error is raised. Callers store finished results on disk.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.reduction import ForkingPickler
from typing import ParamSpec, TypeVar

from kormo_plugins.console.children import ends_with_us
from kormo_plugins.console.collector import frozen
from kormo_plugins.console.signals import deferred
from kormo_plugins.errors import KormoError

P = ParamSpec("P")
T = TypeVar("T")

SAME_SIGNAL = 0.5
"""Seconds to wait for a signal that may also have ended the workers, since it explains their death."""


class Workers(ProcessPoolExecutor):
    """A pool that defers SIGTERM while a worker starts, so that every worker has a parent that knows it.

    A forked child loses the signals that were pending. They stay blocked until it has started, so that the kernel keeps
    them.
    """

    def __init__(self, number: int, start: str, initializer: Callable[[], None] | None) -> None:
        self._forks = start == "fork"
        parent = None if start == "forkserver" else os.getpid()
        begin = partial(_begun, parent, initializer)
        super().__init__(number, multiprocessing.get_context(start), begin)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submits a task; starts missing workers."""
        with deferred():
            if not self._forks:
                return super().submit(_portable, fn, *args, **kwargs)
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            try:
                with frozen():
                    return super().submit(_portable, fn, *args, **kwargs)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerFailure(Exception):
    """What a task raised in a worker, by type and message, if the exception itself cannot reach another process."""


def _portable(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a task. An exception that cannot be pickled hides what was raised behind the error of pickling it, and one
    that cannot be made again from its `args` breaks the pool, as if the system had killed the worker."""
    try:
        return fn(*args, **kwargs)
    except BaseException as error:
        try:
            ForkingPickler.loads(ForkingPickler.dumps(error))
        except Exception:
            raise WorkerFailure(f"{type(error).__qualname__}: {error}") from error
        raise


def _begun(parent: int | None, then: Callable[[], None] | None) -> None:
    """What a worker does first. It ends with its parent: otherwise it would wait for tasks for ever when that is
    killed, since its siblings keep the pipe open.

    Args:
        parent: process id of the pool's owner; None: another process starts the workers for it (`forkserver`).
    """
    ends_with_us()()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if parent not in (None, os.getppid()):  # it was killed before that
        os._exit(1)
    if then is not None:
        then()


@contextmanager
def workers(
    number: int, where: str, *, start: str = "spawn", initializer: Callable[[], None] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """A pool of `number` processes, which are terminated when the block raises.

    Args:
        where: what they work on, for the error message.
        start: start method (`spawn`, `fork` or `forkserver`).
        initializer: called once in each of them.
    Raises:
        KormoError: a process died without an error message.
    """
    pool = Workers(number, start, initializer)
    try:
        yield pool
        pool.shutdown()
    except BaseException as error:
        for process in list((pool._processes or {}).values()):  # `terminate_workers` from Python 3.14
            process.terminate()
        pool.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            time.sleep(SAME_SIGNAL)
            raise KormoError(
                where=where,
                found=f"one of {number} worker processes died without an error message",
                why="the system killed it, usually because memory was not enough for that many workers",
                do="run it again with fewer workers: finished work is kept",
            ) from None
        raise
