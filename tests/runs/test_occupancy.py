"""Two runs never train in one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.runs import occupancy

OTHER = """
import sys, time
from pathlib import Path
from kormo_plugins.runs.occupancy import occupy
occupy(Path(sys.argv[1]), print)
print("in", flush=True)
time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", OTHER, str(out)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(KormoError, match=f"process {other.pid} on .* is at work on a run in {out}"):
            occupancy.occupy(out, pytest.fail)
        other.kill()
    occupancy.occupy(out, pytest.fail)  # killed: it holds nothing any more
    occupancy.occupy(out, pytest.fail)  # once more in the same process, as Axolotl registers twice
    assert occupancy.still_ours(out)
    occupancy.leave(out)
    occupancy.leave(out)
    assert occupancy.still_ours(out)


def test_a_run_whose_folder_was_taken_over_ends(tmp_path: Path) -> None:
    out = tmp_path / "out"
    faster = (
        "from kormo_plugins.store.lease import Lease\n"
        "Lease.__init__.__defaults__ = (0.1, *Lease.__init__.__defaults__[1:])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", faster + OTHER, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None and run.stdout.readline() == "in\n"
        run.send_signal(signal.SIGSTOP)
        (out / f"{occupancy.FILE}.2").write_text("{}")  # the next generation
        run.send_signal(signal.SIGCONT)
        _, told = run.communicate(timeout=30)
    assert run.returncode == 1 and "another process has taken over" in told


def test_a_child_that_was_forked_does_not_hold_its_parents_folder(tmp_path: Path) -> None:
    occupancy.occupy(tmp_path, pytest.fail)
    pid = os.fork()
    if pid == 0:
        occupancy.leave(tmp_path)  # as its exit handlers would
        os._exit(0)
    os.waitpid(pid, 0)
    assert (tmp_path / f"{occupancy.FILE}.1").exists() and occupancy.still_ours(tmp_path)
    with pytest.raises(KormoError):
        subprocess_refused = occupancy.Lease(tmp_path.resolve() / occupancy.FILE)
        occupancy.acquire_or_refuse(subprocess_refused, "it")
    occupancy.leave(tmp_path)
