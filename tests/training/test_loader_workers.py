"""Workers of a DataLoader outlive signals that are meant for their trainer, and never the trainer itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

TRAINER = """
import os, signal, sys, threading, time
import torch
from torch.utils.data import DataLoader, Dataset
from kormo_plugins.training.guards.loader_workers import shield

class Rows(Dataset):
    def __len__(self): return 1_000_000
    def __getitem__(self, index):
        time.sleep(0.001)
        return index

def seeded(worker):
    print(f"worker {os.getpid()}", flush=True)

# what some libraries do: a thread in every forked child, there before anything of ours runs in it
os.register_at_fork(after_in_child=lambda: threading.Thread(target=time.sleep, args=(99,), daemon=True).start())

received = []
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, lambda number, frame: received.append(number))
loader = DataLoader(Rows(), batch_size=4, num_workers=2, worker_init_fn=seeded)
shield(loader)
batches = 0
for batch in loader:
    batches += 1
    if batches == 8:
        print("ready", flush=True)
    if len(received) == 3:
        break
for _ in zip(range(20), loader):  # both workers still answer, and a second pass starts new ones
    pass
print(f"left after {sum(1 for _ in zip(range(5), iter(loader)))} more", flush=True)
sys.exit(75)
"""


def started(tmp_path: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A process in a group of its own that reads with two workers; returns it, and the workers."""
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINER], stdout=subprocess.PIPE, stderr=(tmp_path / "err").open("w"), text=True,
        start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    workers: list[int] = []
    for line in process.stdout:
        if line == "ready\n":
            return process, workers
        workers.append(int(line.split()[1]))
    raise AssertionError((tmp_path / "err").read_text())


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(Path(f"/proc/{pid}").exists() and " Z " not in _stat(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return " Z "


def test_a_signal_to_the_whole_group_ends_no_worker(tmp_path: Path) -> None:
    process, workers = started(tmp_path)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        os.killpg(process.pid, number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 75, (tmp_path / "err").read_text()
    assert "left after 5 more" in out and "Traceback" not in (tmp_path / "err").read_text()
    assert len(workers) == 2 and gone(workers)


def test_no_worker_outlives_a_trainer_that_is_killed(tmp_path: Path) -> None:
    process, workers = started(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    assert len(workers) == 2 and gone(workers)
