"""Runs parts in processes of this machine, which are forked once for all passes of a source.

A forked process has what this one has imported and knows the source without pickling it: steps of plugins may be
closures. Starting processes for each pass, and datatrove to do it, took as long as cleaning 20 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from functools import partial

from kormo_plugins.console import worker_pool
from kormo_plugins.corpus.passes.job import SourceBuild
from kormo_plugins.corpus.passes.stage import work

RunParts = Callable[[int, Sequence[int]], None]
"""Runs parts of a pass and waits for all of them."""
_jobs: list[SourceBuild] = []
"""In a worker process: the source that it was forked for."""


@contextmanager
def local_parts(job: SourceBuild, workers: int, meanwhile: Callable[[], None]) -> Iterator[RunParts]:
    """Processes for the parts of a source; they start with the first part and end with the block.

    Args:
        meanwhile: called once, in this process, as soon as they work.
    Raises:
        KormoError: a process died without an error message, or what a part or `meanwhile` raised.
    """
    from kormo_plugins.store.compiled.functions import warm

    warm()  # once here, and not in each process
    with worker_pool.workers(
        workers, f"sources.{job.name}", start="fork", initializer=partial(_jobs.append, job)
    ) as pool:
        once = [meanwhile]

        def run(stage: int, parts: Sequence[int]) -> None:
            """Runs the parts; raises the first failure."""
            futures = [pool.submit(_work, stage, part) for part in parts]
            while once:
                once.pop()()
            for part in as_completed(futures):
                part.result()

        yield run


def _work(stage: int, part: int) -> None:
    work(_jobs[-1], stage, part)
