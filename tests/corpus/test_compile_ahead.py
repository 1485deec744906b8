"""Scans that are compiled ahead of a large text: all that a build uses, each once, in processes that always end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from kormo_plugins.corpus.passes import compile_ahead as ahead
from kormo_plugins.corpus.scan import text_scan
from kormo_plugins.store.compiled import functions as compiled

from ..console.test_worker_pool import alive
from .conftest import Build, write_rows

ROOT = Path(__file__).parents[2]

USED = """
import json, sys
from kormo_plugins.corpus.passes.compile_ahead import GROUPS, compile_scans
from kormo_plugins.corpus.scan.text_scan import steps_with
from kormo_plugins.documents.document import Document
from kormo_plugins.plugins.registry import registry
from kormo_plugins.testing import TEXTS
import numpy as np

def used():
    return {
        f"{name}.{key} {kind}"
        for name, module in list(sys.modules.items())
        if name.startswith("kormo_plugins.corpus.")
        for key, function in vars(module).items()
        if getattr(getattr(function, "py_func", None), "__module__", "") == name
        for kind in function.signatures
    }

compile_scans(GROUPS)
before = used()
names = "normalize mojibake html errors language repetition korean personal_data exact_dedup minhash_dedup".split()
with steps_with(scans=True):
    steps = [registry().load("corpus_step", name, "")(registry().params("corpus_step", name, {}, "")) for name in names]
    documents = [Document(str(number), text, language="ko") for number, text in enumerate(TEXTS * 2)]
    for step in steps:
        if hasattr(step, "sign"):
            step.decide(np.stack([step.sign(document) for document in documents]))
        else:
            for document in documents:
                step(Document(document.id, document.text, language="ko"))
print(json.dumps([len(before), sorted(used() - before)]))
"""


def test_a_build_compiles_nothing_more() -> None:
    done = subprocess.run([sys.executable, "-c", USED], check=True, capture_output=True, text=True)
    before, more = json.loads(done.stdout.splitlines()[-1])
    assert before > 15 and not more


@pytest.mark.parametrize("number", [1, 2, 3, 8, 40])
def test_each_group_goes_to_one_process(number: int) -> None:
    shares = ahead._shares([*ahead.GROUPS], number)
    assert sorted(name for names in shares for name in names) == sorted(ahead.GROUPS)
    loads = [sum(ahead.GROUPS[name][1] for name in names) for names in shares]
    assert len(shares) <= number and max(loads) - min(loads) <= max(seconds for _, seconds in ahead.GROUPS.values())


class Started:
    """A process that never ends by itself."""

    all: list[Started]
    end: BaseException
    killed = False

    def __init__(self, words: Sequence[str], **options: object) -> None:
        self.words = words
        Started.all.append(self)

    def wait(self, timeout: float | None = None) -> int:
        if not self.killed:
            raise self.end
        return -9

    def kill(self) -> None:
        self.killed = True


def test_processes_end_with_the_one_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted while they compile; and none is started where one core, no cache or another process's work is."""
    Started.all, Started.end = [], KeyboardInterrupt()
    monkeypatch.setattr(ahead.subprocess, "Popen", Started)
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path)
    monkeypatch.setattr(ahead, "_cores", lambda: 2)
    monkeypatch.setattr(compiled, "holds", lambda place: False)
    with pytest.raises(KeyboardInterrupt):
        ahead.compile_ahead([*ahead.GROUPS])
    assert len(Started.all) == 2 and all(one.killed for one in Started.all)
    Started.end = subprocess.TimeoutExpired("it hangs", 300)
    ahead.compile_ahead([*ahead.GROUPS])
    assert len(Started.all) == 4 and all(one.killed for one in Started.all)
    others = ((compiled, "holds", lambda place: True), (ahead, "_cores", lambda: 1), (compiled, "folder", lambda: None))
    for module, name, instead in others:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, instead)
            ahead.compile_ahead([*ahead.GROUPS])
    assert len(Started.all) == 4
    monkeypatch.setattr(ahead.subprocess, "Popen", Mock(side_effect=BlockingIOError(11, "no more processes")))
    ahead.compile_ahead([*ahead.GROUPS])


def test_processes_end_with_one_that_is_killed(tmp_path: Path) -> None:
    """They do not import a module of the user's folder either."""
    (tmp_path / "numba.py").write_text("open('imported', 'w').close()\nraise SystemExit(3)\n")
    code = "import sys; sys.path.remove(''); from kormo_plugins.corpus.passes import compile_ahead as it; "
    code += "it.compile_ahead([*it.GROUPS])"
    environment = os.environ | {"KORMO_CACHE": str(tmp_path), "NUMBA_CACHE_DIR": "", "PYTHONPATH": str(ROOT)}
    waiting = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=tmp_path)
    children: list[int] = []
    end = time.monotonic() + 60
    while not list(tmp_path.rglob("*.nbi")) and time.monotonic() < end:  # the first function is compiled
        time.sleep(0.05)
        children = [*map(int, Path(f"/proc/{waiting.pid}/task/{waiting.pid}/children").read_text().split())]
    waiting.kill()
    waiting.wait()
    while any(map(alive, children)) and time.monotonic() < end:
        time.sleep(0.05)
    assert children and not any(map(alive, children)) and not (tmp_path / "imported").exists()


def test_a_large_text_is_compiled_for_before_it_is_read(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what the recipe's steps use; small text, or scans that were chosen otherwise, wait for the first use."""
    path = write_rows(
        tmp_path / "a.jsonl", [f"나는 {number}번째 글을 오늘 학교에서 읽었다. " * 9 for number in range(9)]
    )
    source = {"reader": {"name": "jsonl", "path": str(path)}}
    asked: list[list[str]] = []
    monkeypatch.setattr(ahead, "compile_ahead", lambda wanted, tell: asked.append([*wanted]))
    monkeypatch.setattr(text_scan._State, "compiled", None)
    build(source, ({"name": "korean"}, {"name": "length"}), out="small")
    monkeypatch.setattr(ahead, "LARGE", 1)
    build(source, ({"name": "korean"}, {"name": "length"}), out="large")
    build(source, ({"name": "length"},), out="none")
    with text_scan.steps_with(scans=False):
        build(source, ({"name": "korean"},), out="patterns")
    assert asked == [["prose", "lines", "korean"], []]


@pytest.mark.parametrize("step", ahead.USED)
def test_the_groups_of_a_step_are_all_that_it_uses(step: str) -> None:
    code = USED.replace("compile_scans(GROUPS)", f"compile_scans({ahead.USED[step]!r})")
    names = next(line for line in USED.splitlines() if line.startswith("names = "))
    done = subprocess.run(
        [sys.executable, "-c", code.replace(names, f"names = [{step!r}]")], check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout.splitlines()[-1])[1] == []


def test_it_is_done_once_before_the_first_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []
    for name, value in (("compiled", None), ("waiting", 15), ("asked", ""), ("prepare", text_scan._State.prepare)):
        monkeypatch.setattr(text_scan._State, name, value)
    text_scan.before_compiling(lambda: called.append(text_scan.compiled("")))
    assert [text_scan.compiled(text) for text in ("가" * 10, "나" * 10, "다" * 10)] == [False, True, True]
    assert called == [True]


@pytest.mark.soak
def test_a_process_that_cleans_compiles_no_scan(tmp_path: Path) -> None:
    """From an empty cache, with real processes: what is left is read from it."""
    cache = {**os.environ, "KORMO_CACHE": str(tmp_path), "NUMBA_CACHE_DIR": ""}
    compiling = "from kormo_plugins.corpus.passes import compile_ahead as it; it.compile_ahead([*it.GROUPS])"
    subprocess.run([sys.executable, "-c", compiling], env=cache, check=True, timeout=300)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}
    subprocess.run([sys.executable, "-c", USED], env=cache, check=True, timeout=300)
    after: dict[str, Any] = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}
    assert {name: after[name] for name in kept} == kept and len(kept) > 140
