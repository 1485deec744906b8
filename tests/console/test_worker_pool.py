"""Workers end with the process that started them, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

OWNER = """
import os, sys, time
from pathlib import Path
from kormo_plugins.console.worker_pool import workers

def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    with workers(2, "here", start=sys.argv[2]) as pool:
        for number in range(9):
            pool.submit(work, sys.argv[1])
"""


def alive(pid: int) -> bool:
    """Whether there is such a process, other than one that only waits to be asked for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_end_with_an_owner_that_is_killed(tmp_path: Path, start: str) -> None:
    (tmp_path / "owner.py").write_text(OWNER, encoding="utf-8")
    (tmp_path / "pids").mkdir()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    owner = subprocess.Popen([sys.executable, "owner.py", "pids", start], cwd=tmp_path, env=environment)
    pids: list[int] = []
    try:
        end = time.monotonic() + 60
        while len(pids) < 2 and time.monotonic() < end:
            time.sleep(0.02)
            pids = [int(path.name) for path in (tmp_path / "pids").iterdir()]
        owner.kill()
        owner.wait()
        end = time.monotonic() + 30
        while any(map(alive, pids)) and time.monotonic() < end:
            time.sleep(0.02)
        assert len(pids) == 2 and not any(map(alive, pids))
    finally:
        owner.kill()
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)
