"""A source built by one worker, several, Ray or Slurm: the same bytes, and what goes wrong is told as it is."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from kormo_plugins.console.worker_pool import WorkerFailure
from kormo_plugins.corpus.passes import engine, local
from kormo_plugins.errors import KormoError

from .builds import STEPS, texts, tree_hash
from .conftest import Build, write_rows


@pytest.mark.parametrize("options", [{}, {"start_method": "fork"}])
def test_the_bytes_do_not_depend_on_workers(tmp_path: Path, build: Build, options: dict[str, Any]) -> None:
    """Processes of our own, and those of datatrove's local executor, which take its options."""
    path = write_rows(tmp_path / "a.jsonl", texts(300))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 4}
    one = build(source, STEPS, out="one")
    two = build(source, STEPS, out="two", workers=2, executor={"name": "local", "options": options})
    assert one == two and tree_hash(tmp_path / "one") == tree_hash(tmp_path / "two")


@pytest.mark.soak
def test_the_bytes_are_the_same_on_ray(tmp_path: Path, build: Build) -> None:
    pytest.importorskip("ray")
    path = write_rows(tmp_path / "a.jsonl", texts(300))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 4}
    options = {"cpus_per_task": 1, "mem_per_cpu_gb": 1}
    here = build(source, STEPS, out="here")
    ray = {"name": "ray", "workers": 2, "options": options}
    there = build(source, STEPS, out="there", executor=ray)
    with pytest.raises(KormoError, match="datatrove has no such filter"):
        build(source, (BAD_STEP,), out="bad", executor=ray)
    assert here == there and tree_hash(tmp_path / "here") == tree_hash(tmp_path / "there")


def test_a_worker_that_the_system_kills_is_told_and_what_is_done_is_kept(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool that does not notice would wait for the lost part for ever."""
    path = write_rows(tmp_path / "a.jsonl", texts(300))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 4}
    work = local.work

    def killed(job: Any, stage: int, part: int) -> None:
        if stage == 1 and part == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        work(job, stage, part)

    monkeypatch.setattr(local, "work", killed)
    with pytest.raises(KormoError, match=r"sources\.s: one of 2 worker processes died without an error message"):
        build(source, STEPS, workers=2)
    assert len(list((tmp_path / "out" / "work" / "0").glob("?????.json"))) == 4
    monkeypatch.undo()
    build(source, STEPS, workers=2)
    build(source, STEPS, out="whole")
    assert tree_hash(tmp_path / "out") == tree_hash(tmp_path / "whole")


class TwoParts(Exception):
    """Pickled, but not made again: its `args` are one text."""

    def __init__(self, what: str, place: int) -> None:
        super().__init__(f"{what} at {place}")


class WithLock(Exception):
    """Not even pickled."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = Lock()


@pytest.mark.parametrize(
    ("error", "told"),
    [(TwoParts("odd", 3), "TwoParts: odd at 3"), (WithLock(), "WithLock: locked")],
    ids=["two", "lock"],
)
def test_an_exception_that_cannot_travel_is_told_as_what_it_is(
    error: Exception, told: str, tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin's own exception must not read as a worker that memory killed."""

    def raising(job: Any, stage: int, part: int) -> None:
        raise error

    monkeypatch.setattr(local, "work", raising)
    path = write_rows(tmp_path / "a.jsonl", texts(20))
    with pytest.raises(WorkerFailure, match=told) as failed:
        build({"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}, STEPS, workers=2)
    assert "in raising" in str(failed.value.__cause__)  # the traceback in the worker


BAD_STEP = {"name": "datatrove", "filter": "no_filter.None"}


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_input_that_a_worker_finds_is_told_as_it_is(tmp_path: Path, build: Build, workers: int) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(20))
    with pytest.raises(KormoError, match="datatrove has no such filter"):
        build({"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}, (BAD_STEP,), workers=workers)


FAKE_SLURM = {
    # An array is run by as many processes as it may have at a time; a job is in the queue as long as they live.
    "sbatch": """#!{python}
import os, re, shutil, subprocess, sys, threading
script = open(sys.argv[-1]).read()
job = str(len(os.listdir("{folder}/jobs")) + 1)
path = "{folder}/jobs/" + job
open(path, "w").write(script)
print("Submitted batch job", job, flush=True)
if "merge_stats" in script or os.fork():
    sys.exit()
last, most = map(int, re.search(r"--array=0-([0-9]+)%([0-9]+)", script).groups())
open(path + ".queued", "w").close()
os.setsid()
for fd in (0, 1, 2):
    os.dup2(os.open(os.devnull, os.O_RDWR), fd)
todo = iter(range(last + 1))
def take():
    for task in todo:
        names = dict(SLURM_ARRAY_TASK_ID=str(task), SLURM_JOB_ID=job, SLURM_NODELIST="here", RUN_OFFSET="0")
        subprocess.run(["bash", path], env=dict(os.environ, **names))
takers = [threading.Thread(target=take) for _ in range(most)]
[one.start() for one in takers], [one.join() for one in takers]
os.remove(path + ".queued")
""",
    "srun": '#!/bin/bash\nwhile [ "$1" != launch_pickled_pipeline ]; do shift; done\nexec "$@"\n',
    "scontrol": "#!/bin/bash\necho here\n",
    "squeue": '#!/bin/bash\n[ -e "{folder}/jobs/$3.queued" ] && echo $3\nexit 0\n',
}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Slurm's commands, played by scripts that run the tasks here; returns the key `executor` of a recipe."""
    (tmp_path / "bin" / "jobs").mkdir(parents=True)
    for name, script in FAKE_SLURM.items():
        path = tmp_path / "bin" / name
        path.write_text(script.replace("{folder}", str(path.parent)).replace("{python}", sys.executable))
        path.chmod(0o755)
    paths = [str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(paths))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(engine, "POLL", 0.2)
    options = {"partition": "cpu", "time": "00:10:00"}
    return {"name": "slurm", "workers": 2, "options": options}


@pytest.mark.soak
def test_the_bytes_are_the_same_on_slurm(tmp_path: Path, build: Build, slurm: dict[str, Any]) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(300))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}
    here = build(source, STEPS, out="here")
    assert build(source, STEPS, out="there", executor=slurm) == here
    assert tree_hash(tmp_path / "here") == tree_hash(tmp_path / "there")
    script = next((tmp_path / "bin" / "jobs").glob("1")).read_text()
    assert "--partition=cpu" in script and "--array=0-1%2" in script


@pytest.mark.soak
def test_a_task_of_slurm_that_fails_or_vanishes_is_told(tmp_path: Path, build: Build, slurm: dict[str, Any]) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(20))
    reader = {"name": "jsonl", "path": str(path)}
    step = {"name": "datatrove", "filter": "regex_filter.RegexFilter", "arguments": {"regex_exp": "("}}
    with pytest.raises(KormoError, match=r"sources\.s, part \d of pass 0: .*unterminated subpattern"):
        build({"reader": reader, "parts": 2}, (step,), executor=slurm)
    (tmp_path / "bin" / "srun").write_text("#!/bin/bash\nexit 9\n")
    with pytest.raises(KormoError, match="ended without an error message"):
        build({"reader": reader, "parts": 2}, STEPS, out="gone", executor=slurm)
