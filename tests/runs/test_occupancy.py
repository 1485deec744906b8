"""Two runs never train in one folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation.models.checkpoint import open_checkpoint
from kormo_plugins.experiments.chain.status import set_aside, unfinished
from kormo_plugins.pipeline.artifacts.initial_model import finished_model
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.projections import EarlierRun
from kormo_plugins.release.collect import release
from kormo_plugins.reporting.run import read_run
from kormo_plugins.runs import occupancy
from kormo_plugins.runs.publishing.publish import revisions
from kormo_plugins.store.complete import model_text, record_fault
from kormo_plugins.store.lease import RUN, Lease, acquire_or_refuse, at_work
from kormo_plugins.training.checkpoints.complete import mark_complete, mark_records, unmark_records

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


def told_of(out: Path) -> dict[str, str]:
    """What each place that looks at the folder of a run says of it."""

    def refused(call: Callable[[], object]) -> str:
        with pytest.raises(KormoError) as error:
            call()
        return error.value.render()

    earlier = EarlierRun(out, None, lambda key: f"r.yml: {key}", registry())
    recipe = SimpleNamespace(output_dir=out)
    return {
        "list": CliRunner().invoke(cli, ["checkpoint", "list", str(out)]).stdout,
        "release": refused(lambda: release(out, out.with_name("released"))),
        "publish": refused(lambda: list(revisions(out))),
        "report": "\n".join(read_run(out).warnings),
        "chain": str(unfinished(recipe)),  # type: ignore[arg-type]
        "from_run": refused(lambda: finished_model(earlier)),
        "eval": refused(lambda: open_checkpoint(out, registry())),
    }


def test_a_run_that_trains_is_not_called_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "checkpoint-4").mkdir(parents=True)
    (out / "metrics.jsonl").write_text('{"step": 4, "loss": 3.0}\n{"step": 5, "lo')
    with subprocess.Popen([sys.executable, "-c", OTHER, str(out)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        living = told_of(out)
        assert {name for name, told in living.items() if f"process {other.pid} on" not in told} == set()
        assert {name for name, told in living.items() if re.search("killed|stopped", told)} == set()
        with pytest.raises(KormoError, match="is at work"):
            set_aside(out)
        other.kill()
    gone = told_of(out)
    assert {name for name, told in gone.items() if "is at work" in told} == set()
    assert {name for name, told in gone.items() if re.search("killed|stopped", told)} == set(gone) - {"eval"}
    assert "this run is not finished" in gone["eval"]


def test_a_lease_of_another_machine_is_told_by_its_last_sign_of_life(tmp_path: Path) -> None:
    there = {"token": "x", "host": "node7", "machine": "another", "pid": 5, "started": "1", "released": False}
    file = tmp_path / f"{RUN}.3"
    file.write_text(json.dumps(there))
    assert re.fullmatch(r"process 5 on 'node7' sent a heartbeat \d+ s ago", at_work(tmp_path / RUN))
    os.utime(file, (1, 1))
    assert at_work(tmp_path / RUN) == ""
    file.write_text(json.dumps({**there, "released": True}))
    assert at_work(tmp_path / RUN) == ""


def test_records_are_not_final_while_a_run_goes_on(tmp_path: Path) -> None:
    """A finished run that is made longer logs on in `metrics.jsonl`, whose checksum was that of its first end."""
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 1, "loss": 3.0}\n')
    mark_complete(tmp_path, 1, set())
    mark_records(tmp_path, ["metrics.jsonl"])
    with metrics.open("a") as file:
        file.write('{"step": 2, "loss": 2.0}\n')
    assert "changed" in record_fault(metrics)
    before = model_text(tmp_path)
    unmark_records(tmp_path)
    assert record_fault(metrics) == "" and model_text(tmp_path) == before


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
        (out / f"{RUN}.2").write_text("{}")  # the next generation
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
    assert (tmp_path / f"{RUN}.1").exists() and occupancy.still_ours(tmp_path)
    with pytest.raises(KormoError):
        subprocess_refused = Lease(tmp_path.resolve() / RUN)
        acquire_or_refuse(subprocess_refused, "it")
    occupancy.leave(tmp_path)
