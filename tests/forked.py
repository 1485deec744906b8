"""Programs without their start-up: a process that has imported what a training imports, and forks a child for each.

Torch, transformers and Axolotl take some twelve seconds of processor time to import, in every rank of every real
run; paid each time, that is most of what the tests of real runs would cost. A child begins with those modules and
nothing else: it has the arguments, environment, folder and streams that it is given, runs one program to its end, and
is a process that can be signalled, killed and waited for like any other.

What a collection of garbage would walk over in every child, copying each page of it, is frozen before: a training
collects seven times.

The server reads one JSON order per line and answers with the child's id and later with its exit status.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kormo_plugins.console.children import ends_with_us
from kormo_plugins.experiments.launch.fork_server import IMPORTS

MORE_IMPORTS = ("axolotl.cli.main", "axolotl.cli.preprocess", "axolotl.cli.merge_lora", "axolotl.core.trainers.base")
READ_AT_IMPORT = {"TRITON_INTERPRET", "OMP_NUM_THREADS", "HF_HUB_OFFLINE", "KORMO_PLUGINS"}
"""Variables that libraries read while they are imported: a child cannot be given others than the server has."""


@dataclass
class Child:
    """A running child, with the part of `subprocess.Popen` that tests use."""

    server: Server
    pid: int
    stdout: Path
    stderr: Path
    returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        self.server.listen(0)
        return self.returncode

    def wait(self, timeout: float = 300) -> int:
        """Waits for the end.

        Raises:
            TimeoutError: it took longer; it is killed.
        """
        deadline = time.monotonic() + timeout
        while self.returncode is None:
            self.server.listen(0.2)
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"{timeout} s; its errors: {self.stderr.read_text()[-4000:]}")
        return self.returncode

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def completed(self, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` would have returned."""
        code = self.wait(timeout)
        return subprocess.CompletedProcess([], code, self.stdout.read_text(), self.stderr.read_text())


class Server:
    """The parent's side: starts the server process on first use.

    Args:
        environment: of the server; a child's own replaces it, but for what is read at import.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._children: dict[int, Child] = {}
        self._streams = Path(tempfile.mkdtemp(prefix="forked-"))
        self._number = 0

    def can(self, environment: Mapping[str, str]) -> bool:
        """Whether a child would be as a fresh process with that environment."""
        return all(environment.get(name) == self.environment.get(name) for name in READ_AT_IMPORT)

    def start(
        self, program: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], stdin: str = ""
    ) -> Child:
        """Starts a child.

        Args:
            program: `module:function`, called without arguments; or source code, run as `python -c` would.
            arguments: `sys.argv`.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env=self.environment, preexec_fn=ends_with_us(),
            )  # fmt: skip
        self._number += 1
        streams = {name: str(self._streams / f"{self._number}.{name}") for name in ("stdin", "stdout", "stderr")}
        Path(streams["stdin"]).write_text(stdin)
        order = {"program": program, "argv": list(arguments), "cwd": str(cwd), "env": dict(environment), **streams}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        child = Child(self, 0, Path(streams["stdout"]), Path(streams["stderr"]))
        self._children[0] = child
        while child.pid == 0:
            self.listen(1)
        return child

    def listen(self, seconds: float) -> None:
        """Takes what the server has said, waiting for it at most so long."""
        assert self._process is not None and self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return
        read = os.read(self._process.stdout.fileno(), 65536)
        if not read:
            raise RuntimeError(f"the server of forked processes ended with {self._process.wait()}")
        *lines, self._buffer = (self._buffer + read).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "code" in said:
                self._children.pop(said["pid"]).returncode = said["code"]
            else:
                child = self._children.pop(0)
                child.pid = said["pid"]
                self._children[child.pid] = child

    def close(self) -> None:
        """Ends the server and what it runs."""
        for pid in filter(None, self._children):
            os.kill(pid, signal.SIGKILL)
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()


def _serve() -> None:
    orders, answers = os.dup(0), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what libraries print while they are imported is no answer
    for name in (*IMPORTS, *MORE_IMPORTS):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    buffer, running, dies_with_us = b"", set[int](), ends_with_us()
    while True:
        if select.select([orders], [], [], 0.02)[0]:
            read = os.read(orders, 1 << 20)
            if not read:
                break
            *lines, buffer = (buffer + read).split(b"\n")
            for line in lines:
                child = os.fork()
                if child == 0:
                    dies_with_us()
                    _run(json.loads(line))
                running.add(child)
                _say(answers, pid=child)
        for child in list(running):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                running.remove(pid)
                _say(answers, pid=pid, code=os.waitstatus_to_exitcode(status))


def _say(answers: IO[str], **said: int) -> None:
    answers.write(json.dumps(said) + "\n")
    answers.flush()


def _run(order: dict[str, Any]) -> None:
    """The child: becomes what the order says, runs it, and is gone."""
    for name, number, flags in (("stdin", 0, os.O_RDONLY), ("stdout", 1, os.O_WRONLY), ("stderr", 2, os.O_WRONLY)):
        os.dup2(os.open(order[name], flags | os.O_CREAT, 0o644), number)
    sys.stdin = os.fdopen(0)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    paths = order["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in paths if path and path not in sys.path]
    sys.argv = order["argv"]
    code = 0
    try:
        module, _, function = order["program"].partition(":")
        if function.isidentifier():
            getattr(importlib.import_module(module), function)()
        else:
            exec(compile(order["program"], "<forked>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    _serve()
