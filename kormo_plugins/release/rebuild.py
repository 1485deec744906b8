"""`kormo reproduce --build` and `--steps`: repeats a release and reports the first difference.

    build     every run of the release, from the sources in its recipes: compares artifacts, losses per step, weights
    steps     one run over a window of steps from a checkpoint of the release: compares losses, and weights at its end

On the same hardware and versions the result is bit-identical. On others floating point differs from the first step on,
and losses are compared with a tolerance; artifacts do not depend on it.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kormo_plugins.console.child_log import length, raise_full_disk
from kormo_plugins.console.children import ends_with_us
from kormo_plugins.errors import KormoError
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.recipe.files.override import changed, write
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.release.collect import Released, read_index
from kormo_plugins.store.artifact import MANIFEST
from kormo_plugins.store.complete import unchanged
from kormo_plugins.store.sums import Finding, sha256
from kormo_plugins.training.telemetry.run_record import RESOLVED, read_record

Command = Callable[[Path], Sequence[str]]
"""Command that trains the recipe in a file."""

PREEMPTED = 75
POLL = 0.5
ORDER = "corpus tokenizer preferences shards rows init"
"""Kinds of artifacts in build order."""

WAIT = 600.0
"""Seconds that a run has to exit after SIGTERM."""


@dataclass(frozen=True)
class Plan:
    """Where a release is, and where it is repeated.

    Args:
        command: see `Command`.
        tolerance: maximum relative difference of two losses; 0: bit-identical.
        log: called with one line per step of the work.
    """

    release: Path
    out: Path
    command: Command
    tolerance: float
    log: Callable[[str], None]

    def run(self, released: Released) -> Path:
        """Output folder of a repeated run."""
        return self.out / "runs" / released.name


def build(plan: Plan) -> list[Finding]:
    """Repeats every run in order; returns the differences of the first run that differs.

    Raises:
        KormoError: not a release, or a failed training.
    """
    runs = read_index(plan.release)
    for released in runs:
        plan.log(f"{released.name}: from its sources")
        _train(plan, _recipe(plan, released, runs, plan.out), None)
        differences = list(compare(plan, released))
        if differences:
            return differences
        plan.log(f"{released.name}: artifacts, losses and weights are those of the release")
    return []


def repeat_steps(plan: Plan, first: int, last: int, name: str | None = None) -> list[Finding]:
    """Repeats the steps after `first` up to `last`, from the release's checkpoint of step `first`.

    Args:
        name: of the run; default: the only one with the checkpoint and a logged loss at `last`.
    Raises:
        KormoError: no such checkpoint in the release, an empty window, no loss to compare at its end, several runs
            without `name`, or a failed training.
    """
    runs = read_index(plan.release)
    having = [r for r in runs if first in r.checkpoints and (name is None or r.name == name)]
    if not having or last <= first:
        kept = "; ".join(f"{', '.join(map(str, r.checkpoints))} ({r.name})" for r in runs if r.checkpoints)
        raise KormoError(
            where="kormo reproduce --steps",
            found=f"{first}-{last}",
            why=f"a window begins at a checkpoint that the release holds: {kept or 'it holds none'}",
            do="name such a step and a later one; `kormo release --checkpoint STEP` keeps checkpoints",
        )
    released = _only(plan.release, having, first, last)
    theirs, ours = plan.release / "runs" / released.name, plan.run(released)
    shutil.copytree(theirs / f"checkpoint-{first}", ours / f"checkpoint-{first}")
    _train(plan, _recipe(plan, released, runs, plan.release), last)
    differences = list(_losses(plan, released, first, last))
    both = [folder / f"checkpoint-{last}" for folder in (theirs, ours)]
    if not differences and all(folder.is_dir() for folder in both):
        differences = list(_weights(f"{released.name}: checkpoint-{last}", *both))
    return differences


def _only(release: Path, having: Sequence[Released], first: int, last: int) -> Released:
    """The run that logged a loss of the window's own steps at its end.

    Args:
        having: the runs with the checkpoint `first` in the release.
    """
    ends = {r.name: [end for end, since, _ in _intervals(release / "runs" / r.name) if since >= first] for r in having}
    matches = [released for released in having if last in ends[released.name]]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = [released.name for released in matches]
        why, do = f"{', '.join(names)} have such steps", f"choose one: --run {names[0]}"
    else:
        why = f"no loss of these steps was logged at step {last}, so nothing could be compared there"
        near = {name: sorted(sorted(known, key=lambda step: abs(step - last))[:3]) for name, known in ends.items()}
        known = [f"{', '.join(map(str, steps)) or 'none after this checkpoint'} ({n})" for n, steps in near.items()]
        do = f"end at a logged step: {'; '.join(known)}"
    raise KormoError(where="kormo reproduce --steps", found=f"{first}-{last}", why=why, do=do)


def _recipe(plan: Plan, released: Released, runs: Sequence[Released], models: Path) -> Path:
    """The run's recipe with relocated folders; the model that it starts from is taken from `models`."""
    source = plan.release / "runs" / released.name / RESOLVED
    changes: dict[str, object] = {
        "output_dir": str(plan.run(released)),
        "kormo.workspace": str(plan.out / "artifacts"),
        "auto_resume_from_checkpoints": True,
        "hub_model_id": None,
    }
    before = read_yaml(source).get("kormo", {}).get("from_run")
    for other in runs:
        if before is not None and os.path.normpath(before) == os.path.normpath(other.output_dir):
            changes["kormo.from_run"] = str(models / "runs" / other.name)
    return write(changed(source, changes), changes, plan.run(released) / "requested.yml")


def _raise_full_disk(log: Path, begin: int, out: Path) -> None:
    """As `raise_full_disk`, with advice for this case: a second try in the same folder would reuse the first one's."""
    try:
        raise_full_disk(log, begin)
    except KormoError as error:
        again = f"free some space or choose another disk, and remove {out}: a rebuild reuses nothing"
        raise KormoError(where=error.where, found=error.found, why=error.why, do=again) from None


def _train(plan: Plan, recipe: Path, last: int | None) -> None:
    """Runs a training to its end, or until it has done step `last`."""
    out = recipe.parent
    begin = length(out / "reproduce.log")
    with (out / "reproduce.log").open("ab") as log:
        process = subprocess.Popen(
            plan.command(recipe), stdout=log, stderr=subprocess.STDOUT, preexec_fn=ends_with_us()
        )
    stopped = False
    while process.poll() is None:
        time.sleep(POLL)
        if last is not None and not stopped and last in dict(losses(out)):
            process.send_signal(signal.SIGTERM)  # writes a checkpoint after the current step and exits
            stopped, last_wait = True, time.monotonic()
        elif stopped and time.monotonic() - last_wait > WAIT:
            process.kill()
    if process.returncode not in ((0, PREEMPTED, -signal.SIGTERM) if stopped else (0,)):
        _raise_full_disk(out / "reproduce.log", begin, plan.out)
        raise KormoError(
            where=str(recipe),
            found=f"a training that ended with status {process.returncode}",
            why="without a trained model nothing can be compared",
            do=f"see {out / 'reproduce.log'}",
        )


def losses(run: Path) -> Iterator[tuple[int, float]]:
    """Step and loss of each logged step."""
    for line in read_metrics(unchanged(run / METRICS)):
        if "loss" in line and "step" in line:
            yield int(line["step"]), float(line["loss"])


def compare(plan: Plan, released: Released) -> Iterator[Finding]:
    """The first difference between a run and its repetition: an artifact, else a step, else a weight file."""
    theirs, ours = plan.release / "runs" / released.name, plan.run(released)
    differences = list(_artifacts(plan, theirs, ours)) or list(_losses(plan, released, 0, None))
    if not differences and not plan.tolerance:
        differences = list(_weights(released.name, theirs, ours))
    yield from differences[:1]


def _artifacts(plan: Plan, theirs: Path, ours: Path) -> Iterator[Finding]:
    """Differences of artifacts, in build order."""
    places = (read_record(theirs).get("artifacts", {}), read_record(ours).get("artifacts", {}))
    for key in sorted(places[0], key=lambda name: (ORDER.find(name.split("/")[0]), name)):
        was = _manifest(plan.release / "artifacts" / Path(places[0][key]).name)
        now = _manifest(Path(places[1].get(key, "")))
        if was is None:
            continue
        if now is None or now["hash"] != was["hash"]:
            yield Finding(key, _why(was, now))
        elif now["files"] != was["files"]:
            names = sorted(n for n in {*was["files"], *now["files"]} if was["files"].get(n) != now["files"].get(n))
            yield Finding(key, f"made from the same inputs, but {names[0]} has other bytes")


def _manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / MANIFEST
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _why(was: Mapping[str, Any], now: Mapping[str, Any] | None) -> str:
    """The first input of an artifact that differs."""
    if now is None:
        return "not made"
    inputs = (was["inputs"], now["inputs"])
    names = sorted(name for name in {*inputs[0], *inputs[1]} if inputs[0].get(name) != inputs[1].get(name))
    if not names:
        return f"hash {now['hash']} instead of {was['hash']}"
    return f"its input {names[0]} is {inputs[1].get(names[0])!r} instead of {inputs[0].get(names[0])!r}"[:300]


def _intervals(run: Path) -> Iterator[tuple[int, int, float]]:
    """Step of each logged loss, the previously logged step, and the loss: the mean over the steps in between."""
    before = 0
    for step, loss in sorted(dict(losses(run)).items()):
        yield step, before, loss
        before = step


def _losses(plan: Plan, released: Released, first: int, last: int | None) -> Iterator[Finding]:
    ours = dict(losses(plan.run(released)))
    for step, since, was in _intervals(plan.release / "runs" / released.name):
        if since < first or (last is not None and step > last):
            continue  # the mean includes steps before the checkpoint
        now = ours.get(step)
        if now is None or not (now == was or math.isclose(now, was, rel_tol=plan.tolerance, abs_tol=0.0)):
            yield Finding(f"{released.name}: step {step}", f"loss {now} instead of {was}")
            return


def _weights(where: str, theirs: Path, ours: Path) -> Iterator[Finding]:
    for path in sorted(theirs.glob("*.safetensors")):
        other = ours / path.name
        if not other.is_file() or sha256(other) != sha256(path):
            yield Finding(f"{where}: {path.name}", "missing" if not other.is_file() else "other weights")
