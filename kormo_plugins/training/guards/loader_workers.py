"""DataLoader workers that exit with their trainer, and only with it.

A signal to the process group (`timeout`, a terminal) or to all processes of a job (systemd, Slurm) reaches workers too.
If they died of it, the trainer would fail on the next batch instead of writing its checkpoint. And a trainer that is
killed cannot stop them: they would wait on their queue for ever, and keep the pipe of its output open.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from kormo_plugins.training.guards.signals import SIGNALS

if TYPE_CHECKING:
    from accelerate.data_loader import DataLoaderAdapter
    from torch.utils.data import DataLoader

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent dies."""

Init = Callable[[int], object]


def shield(loader: DataLoader[object] | DataLoaderAdapter | None) -> None:
    """Makes the future workers of `loader` react only to their trainer.

    Args:
        loader: a DataLoader of torch, or accelerate's around one; None: there is none.
    """
    from accelerate.data_loader import DataLoaderAdapter

    if loader is None:
        return
    own: Any = loader.base_dataloader if isinstance(loader, DataLoaderAdapter) else loader
    if own.num_workers:
        own.worker_init_fn = partial(_begin, os.getpid(), own.worker_init_fn)
        own._get_iterator = partial(_started_with_sigterm_blocked, own._get_iterator)


def _started_with_sigterm_blocked(start: Callable[[], object]) -> object:
    """Starts the workers while SIGTERM is blocked here, which they and every thread of theirs inherit.

    Blocking it in the worker would be too late for threads that libraries start right after a fork.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(trainer: int, then: Init | None, worker: int) -> None:
    """In a new worker."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != trainer:  # the trainer died before the line above
        os._exit(1)
    for number in SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        # torch sends SIGTERM to workers that do not exit, so it cannot be ignored: only the trainer's is accepted.
        # It is already blocked if the worker was forked.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_wait_for, args=(trainer,), daemon=True, name="ends with its trainer").start()
    if then is not None:
        then(worker)


def _wait_for(trainer: int) -> None:
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == trainer:
            os._exit(0)
