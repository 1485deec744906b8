"""One builder at a time, and no lease that outlives its holder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kormo_plugins.store.lease import Lease


def test_only_one_holds_it(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "l"), Lease(tmp_path / "l")
    assert first.acquire() and not second.acquire()
    with first.held():
        assert not second.acquire()
    assert second.acquire()


def test_a_dead_process_loses_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    holder = {"owner": "x", "host": socket.gethostname(), "pid": int(done.stdout)}
    (tmp_path / "l").write_text(json.dumps(holder))
    assert Lease(tmp_path / "l").acquire()


def test_silence_from_another_host_loses_it(tmp_path: Path) -> None:
    path = tmp_path / "l"
    path.write_text(json.dumps({"owner": "x", "host": "elsewhere", "pid": 1}))
    assert not Lease(path, stale_after=60).acquire()
    past = time.time() - 120
    os.utime(path, (past, past))
    assert Lease(path, stale_after=60).acquire()


def test_the_heartbeat_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "l"
    lease = Lease(path, heartbeat=0.05, stale_after=0.4)
    assert lease.acquire()
    holder = json.loads(path.read_text())
    path.write_text(json.dumps({**holder, "host": "elsewhere"}))  # judged by its heartbeat alone
    with lease.held():
        time.sleep(1.0)
        assert not Lease(path, stale_after=0.4).acquire()


@pytest.mark.parametrize("content", ["", '{"own'])
def test_a_lease_that_is_just_being_written_is_not_taken(tmp_path: Path, content: str) -> None:
    (tmp_path / "l").write_text(content)
    assert not Lease(tmp_path / "l").acquire()


def test_a_lease_that_was_taken_over_is_left_to_its_new_holder(tmp_path: Path) -> None:
    path = tmp_path / "l"
    slow, next_one = Lease(path), Lease(path)
    assert slow.acquire()
    with slow.held():  # stops for long, and another host takes it for dead
        path.unlink()
        assert next_one.acquire()
    assert path.exists() and not slow.acquire()


def test_many_processes_one_builder(tmp_path: Path) -> None:
    """Eight processes build the same artifact at once: it is made once and all get it."""
    script = """
import sys, time
from pathlib import Path
from kormo_plugins.store.artifact import Spec, build
root = Path(sys.argv[1])
def make(out):
    (root / f"made-{time.time_ns()}").touch()
    time.sleep(0.3)
    (out / "data").write_text("x")
    return {"n": 1}
print(build(root / "artifacts", Spec("corpus", "a", {"v": 1}), make).path.name)
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    names = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert len(names) == 1
    assert len(list(tmp_path.glob("made-*"))) == 1
