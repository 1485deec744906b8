"""Settings of Python's cyclic garbage collector for commands.

What a command imports and opens lives until it ends: several hundred thousand objects, in which there is nothing to
collect.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = (100_000, 50, 50)
"""Allocations, and collections of the younger generations, before a collection."""


def spare_collections() -> None:
    """For the start of a command: collects seldom, which is a tenth of a short one, and not at its end, where Python
    would search everything several times (0.4 s once numba is loaded)."""
    gc.set_threshold(*THRESHOLD)
    atexit.register(_search_nothing)  # registered first, so that it runs last


def _search_nothing() -> None:
    """Leaves all that is there out of the last search; not where torch was imported, which brings libraries that list
    at exit what was not collected (nanobind, in triton), and takes longer than that search."""
    if "torch" not in sys.modules:
        gc.freeze()


@contextmanager
def frozen() -> Iterator[None]:
    """For starting processes by fork: what is there is not collected by them, so that they neither search it nor copy
    its pages, into which a collection writes."""
    before = gc.get_freeze_count()
    gc.freeze()
    try:
        yield
    finally:
        if not before:  # thawing is of all that is frozen, also by others
            gc.unfreeze()
