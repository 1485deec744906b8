"""A signal to the whole group while workers are being started ends all of them, and the command, with status 75.

The moments are those of a fork: Python hides what a handler raises in a hook of `os.register_at_fork`, a child forgets
what came in before it, and a pool does not yet know the child that it has just started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import concurrent.futures.process, mmap, os, signal, sys, time
from kormo_plugins.console import signals, worker_pool

moment = sys.argv[1]
signals.raise_on_sigterm()
sent = mmap.mmap(-1, 1)  # shared with the children: a second signal is meant to end all at once
def send():
    if sent[0]:
        return
    sent[0] = 1
    os.killpg(0, signal.SIGTERM)
    time.sleep(0.05)
if moment in ("before", "after_in_parent", "after_in_child"):
    os.register_at_fork(**{moment: send})
elif moment == "started":  # but not yet among the pool's processes
    real = concurrent.futures.process.ProcessPoolExecutor._spawn_process
    def spawn(pool):
        class Late(dict):
            def __setitem__(self, key, value):
                send()
                super().__setitem__(key, value)
        pool._processes = Late(pool._processes)
        real(pool)
    concurrent.futures.process.ProcessPoolExecutor._spawn_process = spawn
elif moment == "thread":  # the kernel may give it to any thread
    import threading
    os.register_at_fork(before=lambda: threading.Thread(target=send).start() or time.sleep(0.02))
with worker_pool.workers(2, "here", start="fork") as pool:
    for job in [pool.submit(time.sleep, 30) for _ in range(4)]:
        job.result()
print("went on")
"""


@pytest.mark.parametrize("moment", ["before", "after_in_parent", "after_in_child", "started", "thread"])
def test_a_group_signal_while_workers_are_forked(moment: str) -> None:
    command = [sys.executable, "-c", SCRIPT, moment]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        try:
            out, told = process.communicate(timeout=15)
        finally:
            left = in_group(process.pid)
            if left:
                os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, out, told, left) == (75, "", "", [])


def in_group(number: int) -> list[int]:
    """Processes of a group that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == number and fields[0] != b"Z":
            found.append(int(stat.parent.name))
    return found


FORGOTTEN = {
    "by Python": """
class Dies:
    def __del__(self):
        send()  # here the handler raises, and Python prints "Exception ignored in"
Dies()
""",
    "by a library": """
for _ in range(3):
    try:
        send()
    except:
        pass
""",
    "with what was met meanwhile": """
try:
    send()
except BaseException as error:
    kept = [error]
    del kept
""",
}
HEAD = """
import os, signal, time
from kormo_plugins.console import signals

signals.raise_on_sigterm()
def send():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
"""


@pytest.mark.parametrize("how", FORGOTTEN)
def test_a_signal_whose_exception_is_forgotten_comes_again(how: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    script = f"{HEAD}{FORGOTTEN[how]}\ntime.sleep(10)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=8, env=environment
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (75, "")


CONVERTED = """
import os, signal, sys, time
import click
from kormo_plugins.cli import main
from kormo_plugins.errors import KormoError

raised = sys.argv.pop()
@click.command()
def broken():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    except BaseException as error:
        raise eval(raised) from error
main.cli.get_command = lambda context, name: broken
main.cli.list_commands = lambda context: ["broken"]
main.main()
"""


@pytest.mark.parametrize(
    "error", ["RuntimeError('of a library')", "KormoError(where='a', found='a worker died', why='', do='')"]
)
def test_another_error_after_the_signal_ends_as_the_signal(error: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", CONVERTED, "broken", error], capture_output=True, text=True, timeout=30, env=environment
    )
    assert done.returncode == 75 and "stopped by SIGTERM" in done.stderr and "Traceback" not in done.stderr
