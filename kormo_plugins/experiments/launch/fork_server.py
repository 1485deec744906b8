"""Starts many trainings at the cost of one start-up: a process imports everything once and forks a child for each.

Starting Axolotl takes about ten seconds, a tenth of the time of a cell of a nano ablation. The parent imports what a
training imports, runs none of it, and forks: each child starts with the same clean state as a new process, so the
weights of a cell do not depend on earlier cells.

A child is asked to stop when its parents are killed, and holds a lock until it has stopped: the next run waits for its
last checkpoint instead of training in the same folder at the same time.

The protocol is one JSON line per training on stdin, `{"recipe", "log", "env"}`, and one per result on stdout,
`{"code", "seconds"}`. A child writes to its log alone.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from kormo_plugins.console.children import ends_with_us

IMPORTS = (
    "axolotl.cli.train",
    "axolotl.cli.config",
    "axolotl.train",
    "axolotl.common.datasets",
    "axolotl.core.builders",
    "axolotl.utils.trainer",
    "kormo_plugins.training.trainer",
    "kormo_plugins.mixture.batches.gather",
    "transformers.models.llama.modeling_llama",
)
"""Modules that a training imports; they must not start threads or touch a device on import."""


class ForkServer:
    """Client of the fork server: `with ForkServer() as warm: warm.train(recipe, log)`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> ForkServer:
        return self

    def train(self, recipe: Path, log: Path, env: Mapping[str, str] | None = None) -> int:
        """Trains one recipe; returns the exit status of `axolotl train`, negative for a signal.

        Args:
            recipe: argument of `axolotl train`.
            log: gets stdout and stderr, appended.
            env: variables for this training only.
        """
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=ends_with_us(),
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        order = {"recipe": str(recipe), "log": str(log), "env": dict(env or {})}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:  # the server process has died
            return self._process.wait() or 1
        lock_of(log).unlink(missing_ok=True)  # its holder has died, and no other process trains in this folder
        return int(json.loads(answer)["code"])

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is None:
            return
        if error is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)  # it forwards the signal to the child
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def lock_of(log: Path) -> Path:
    """The lock file of a training with this log."""
    return log.with_name(".running")


def wait_for(log: Path, say: Callable[[str], None]) -> None:
    """Waits for a training that a killed run left behind, which may still be writing its checkpoint."""
    try:
        file = lock_of(log).open("r+")
    except FileNotFoundError:  # no training was left
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"a training of a killed run is still running in {log.parent}; waiting for it to end")
            fcntl.flock(file, fcntl.LOCK_EX)


def serve() -> None:
    """Imports, then forks one child for each line of stdin."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keeps output of imports out of the protocol
    for name in IMPORTS:
        importlib.import_module(name)
    importlib.import_module("kormo_plugins").KormoPlugin  # noqa: B018 - its module is imported on first use
    gc.collect()
    gc.freeze()  # a child that walks over all that was imported copies each page of it; a training does it seven times
    atexit.register(gc.unfreeze)  # libraries list at exit what was not collected
    child, dies_with_us = 0, ends_with_us()

    def forward(number: int, frame: FrameType | None) -> None:
        """Forwards a signal to the running training; without one, ends the server."""
        if not child:
            sys.exit(128 + number)
        os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, forward)
    for line in sys.stdin:
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            dies_with_us()
            _train(json.loads(line))
        _, status = _wait(child)
        child = 0
        code = os.waitstatus_to_exitcode(status)
        answers.write(json.dumps({"code": code, "seconds": round(time.monotonic() - start, 3)}) + "\n")
        answers.flush()


def _wait(child: int) -> tuple[int, int]:
    while True:
        try:
            return os.waitpid(child, 0)
        except InterruptedError:  # a signal was forwarded; the child decides when to exit
            continue


def _train(order: dict[str, Any]) -> None:
    """The child: the state of a fresh `axolotl train … --launcher python`, its output in the log."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(order["env"])
    lock = os.open(lock_of(Path(order["log"])), os.O_WRONLY | os.O_CREAT, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX)  # until this process is gone
    code = 0
    try:
        from axolotl.cli.train import do_cli

        do_cli(config=order["recipe"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.exit(code)  # not os._exit: trackers write their last lines at interpreter exit


if __name__ == "__main__":
    serve()
