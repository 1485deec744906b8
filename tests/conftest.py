"""What all tests share: programs that start at once, and the long files first."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked import Server

ROOT = Path(__file__).parents[1]
LONG = ("integration", "training", "kernels", "evaluation")
"""Folders with long files: begun last, one of them would keep one process busy when the other has nothing left."""
WITHOUT_LAB = ROOT / "tests/training/test_preemption.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=place)
    first = items[0].path if items else None
    # The two processes begin with the first two files: while one builds the lab of the real runs, the other needs none.
    items.sort(key=lambda item: 0 if item.path == first else 1 if item.path == WITHOUT_LAB else 2)


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> None:
    """Modules that are imported stay: collections of garbage, of which each training starts a few, leave them out.

    Walking over all that torch, transformers and Axolotl bring was most of what a short training took.
    """
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Libraries count at exit what has not been collected (nanobind)."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def forks() -> Iterator[Server]:
    """Starts programs in children of a process that has imported torch, transformers and Axolotl (`forked.py`)."""
    server = Server({
        **os.environ, "AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
    })  # fmt: skip
    yield server
    server.close()
