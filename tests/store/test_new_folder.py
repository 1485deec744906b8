"""A folder that is filled under a temporary name: what a killed process leaves is removed, what a live one fills is
not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kormo_plugins.store.lease import ABANDONED_AFTER, new_folder

SCRIPT = """
import sys, time
from pathlib import Path
from kormo_plugins.store.lease import new_folder

with new_folder(Path(sys.argv[1])) as partial:
    (partial / "sample.zst").write_text("half")
    print("filling", flush=True)
    time.sleep(60)
"""


@contextmanager
def filling(out: Path) -> Iterator[int]:
    """A process that is filling a folder for `out`; killed at the end of the block, if it still lives."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"filling\n"
        try:
            yield process.pid
        finally:
            process.kill()


def make(out: Path) -> None:
    """Fills and publishes a folder."""
    with new_folder(out) as partial:
        (partial / "file").write_text("whole")
        assert [path.name for path in partial.iterdir()] == ["file"]  # all that is in it is published


def names(folder: Path) -> list[str]:
    """Names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["tokenizer", "my.tokenizer [1]"])
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    with filling(out) as process:
        os.kill(process, signal.SIGKILL)
    assert len(names(tmp_path)) == 2 and not out.exists()
    (tmp_path / f"{name}.0123abcd.tmp").mkdir()  # nobody knows whose
    (tmp_path / f"{name}2.0123abcd.tmp.1").write_text("{}")  # of another folder
    make(out)
    assert names(tmp_path) == sorted([name, f"{name}.0123abcd.tmp", f"{name}2.0123abcd.tmp.1"])


def test_what_a_live_process_fills_is_left(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with filling(out):
        make(out)
        (other,) = tmp_path.glob("out.????????.tmp")
        assert names(other) == ["sample.zst"]


def test_a_process_that_is_not_visible_is_waited_for_before_its_folder_is_removed(tmp_path: Path) -> None:
    lease = tmp_path / "out.0123abcd.tmp.1"
    lease.with_suffix("").mkdir()
    lease.write_text("{}")  # unreadable: as of a process elsewhere, only the heartbeat counts
    make(tmp_path / "out")
    assert lease.exists()
    long_ago = time.time() - ABANDONED_AFTER - 60
    os.utime(lease, (long_ago, long_ago))
    (tmp_path / "out" / "file").unlink()
    make(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "out") as partial:
        (partial / "file").write_text("half")
        raise ZeroDivisionError
    assert not names(tmp_path)
