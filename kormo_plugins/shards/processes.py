"""Runs the jobs of a source here or in forked processes, which have the encoder of this one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from kormo_plugins.console import worker_pool

THREADS = "TOKENIZERS_PARALLELISM"
"""The variable by which `tokenizers` uses threads or not."""

Job = TypeVar("Job")
Record = dict[str, Any]
"""What `shards.json` says of a shard; `name` is its name."""
Progress = Callable[[Record], None]


def run_all(
    make: Callable[[Job], Record], jobs: Iterator[Job], number: int, where: str, progress: Progress | None
) -> list[Record]:
    """Runs the jobs, with at most two per process in flight; returns records in the order of the jobs.

    Args:
        make: runs one job; must not use threads that exist already, which a forked process lacks.
        number: processes; 1 runs the jobs in this one.
        where: what they work on, for the error message.
        progress: called with each record.
    Raises:
        KormoError: a process died without an error message, or what `make` raised.
    """
    if number <= 1:
        records = []
        for job in jobs:
            records.append(make(job))
            if progress:
                progress(records[-1])
        return records
    done: list[Record] = []
    waiting: set[Future[Record]] = set()
    with _single_threads(), worker_pool.workers(number, where, start="fork") as pool:
        for job in jobs:
            waiting.add(pool.submit(make, job))
            if len(waiting) >= 2 * number:
                waiting = _collect(waiting, done, progress)
        while waiting:
            waiting = _collect(waiting, done, progress)
    return sorted(done, key=lambda record: (len(record["name"]), record["name"]))


def _collect(waiting: set[Future[Record]], done: list[Record], progress: Progress | None) -> set[Future[Record]]:
    ready, rest = wait(waiting, return_when=FIRST_COMPLETED)
    for future in ready:
        done.append(future.result())
        if progress:
            progress(done[-1])
    return set(rest)


@contextmanager
def _single_threads() -> Iterator[None]:
    """Turns the threads of `tokenizers` off, in processes that are started meanwhile too."""
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = before
