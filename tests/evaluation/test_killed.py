"""An evaluation that is killed and asked for again leaves the same `evaluation.json`, byte for byte."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.evaluation.record import FILE, Record

PROGRAM = """
import os, signal, sys
from pathlib import Path
from kormo_plugins.store import json_file
moment, number = sys.argv.pop(1), int(sys.argv.pop(1))
calls = 0
name = {"before": "replace", "unfinished": "publish"}.get(moment)
if name:
    from kormo_plugins.store import atomic
    real = getattr(atomic, name)
    def killed(*args):
        global calls
        if any(getattr(one, "name", "").startswith("evaluation.json") for one in args):
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)
    setattr(atomic, name, killed)
from kormo_plugins.cli.main import cli
cli(prog_name="kormo")
"""


def evaluate(forks: Any, checkpoint: Path, out: Path, moment: str = "never", number: int = 0) -> int:
    words = ["eval", str(checkpoint), "--suite", "mini", "--limit", "3", "--needle", "--lengths", "160",
             "--depths", "0,100", "--out", str(out)]  # fmt: skip
    child = forks.start(PROGRAM, ["kormo", moment, str(number), *words], out, dict(os.environ))
    done = child.completed(200)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return int(done.returncode)


@pytest.mark.soak  # a minute: six evaluations
def test_killed_and_repeated(forks: Any, checkpoint: Path, tmp_path: Path) -> None:
    whole, again = tmp_path / "whole", tmp_path / "again"
    whole.mkdir(), again.mkdir()
    assert evaluate(forks, checkpoint, whole) == 0
    expected = (whole / FILE).read_bytes()
    for moment, number in [("before", 2), ("unfinished", 3), ("before", 4), ("unfinished", 1)]:
        assert evaluate(forks, checkpoint, again, moment, number) == -signal.SIGKILL
    assert evaluate(forks, checkpoint, again) == 0
    assert (again / FILE).read_bytes() == expected
    assert evaluate(forks, checkpoint, again) == 0
    assert (again / FILE).read_bytes() == expected, "a repeated one does nothing"


def test_what_is_repeated_moves_nothing(opened: Any, tmp_path: Path) -> None:
    def rows(suite: str) -> list[dict[str, Any]]:
        return [{"suite": suite, "task": name, "metric": "acc", "shots": 0, "limit": 1} for name in "ab"]

    record = Record(tmp_path, opened)
    for number in "12":
        record.add_task({"task": "t", "hash": number})
    record.add_results(rows("one"))
    record.add_results(rows("two"))
    before = (tmp_path / FILE).read_bytes()
    again = Record(tmp_path, opened)
    again.add_task({"task": "t", "hash": "1"})
    again.add_results(rows("one"))
    assert (tmp_path / FILE).read_bytes() == before
