"""The garbage collector searches neither what a command leaves at its end, nor in workers what was there before."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kormo_plugins.console.worker_pool import workers

ROOT = Path(__file__).parents[2]
LEFT = """
import gc

class Left:
    def __del__(self): print("searched")

left = Left()
left.itself = left
del left
"""
SPARE = "from kormo_plugins.console.collector import spare_collections; spare_collections()\n"


HEAVY = "import types; sys.modules['torch'] = types.ModuleType('torch')\n"


@pytest.mark.parametrize(
    ("begin", "said"), [("", "searched\n"), (SPARE, ""), (SPARE + "import sys\n" + HEAVY, "searched\n")]
)
def test_a_command_does_not_search_at_its_end(begin: str, said: str) -> None:
    """It does where torch was imported: of libraries that count what is left, each would be told as a leak."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", begin + LEFT]
    assert subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout == said


def test_workers_do_not_search_what_was_there() -> None:
    gc.unfreeze()  # what tests/conftest.py has frozen
    tracked = len(gc.get_objects())
    with workers(1, "test", start="fork") as pool:
        frozen = pool.submit(gc.get_freeze_count).result()
    assert frozen > tracked // 2 and gc.get_freeze_count() == 0
    gc.freeze()
    try:
        kept = gc.get_freeze_count()
        with workers(1, "test", start="fork") as pool:
            pool.submit(gc.get_freeze_count).result()
        assert gc.get_freeze_count() > kept // 2  # some of them have ended since
    finally:
        gc.unfreeze()
