"""Reads a run's folder for the page; only the metrics are required.

A page is most useful when a run failed, so a missing or partial file only omits its section and adds a warning.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, cast

import yaml

from kormo_plugins.errors import KormoError, type_in_words, value_in_words
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.measures.metrics_file import Start, read_metrics_file
from kormo_plugins.measures.record_shape import SHAPE
from kormo_plugins.measures.scores import EvaluationRecord
from kormo_plugins.reporting.preempted import stopped
from kormo_plugins.store.complete import record_fault
from kormo_plugins.store.json_file import seal_fault
from kormo_plugins.store.lease import RUN, at_work

if TYPE_CHECKING:
    from typing import TypeGuard


CHAIN = "chain.json"
EVALUATION = "evaluation.json"
Shape = Mapping[str, type | tuple[type, ...]]
RECORD = "run.json"
SAMPLES = "samples.json"
WRITTEN = "samples.jsonl"
_INCOMPLETE = re.compile(r"checkpoint-\d+\.incomplete")


@dataclass
class Run:
    """One run.

    Args:
        name: display name, unique on a page.
        folder: of the run.
        record: `run.json`.
        recipe: the resolved recipe as text, and as values.
        lines: `metrics.jsonl`, without the lines that a resume replaced.
        starts: where the run was resumed or restarted after a stop.
        samples: continuations of the finished model: `{prompt, text}`.
        written: continuations during training: `{step, language, prompt, text}`.
        evaluation: `evaluation.json`, if the run was evaluated.
        warnings: warnings shown on the page.
        in_tokens: whether the x axis of the curves is tokens; otherwise steps.
        offset: start of the run on the x axis: after the previous stages if the runs are a chain.
    """

    name: str
    folder: Path
    record: dict[str, Any] = field(default_factory=dict)
    recipe_text: str = ""
    recipe: dict[str, object] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    samples: list[dict[str, str]] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)
    evaluation: EvaluationRecord = field(default_factory=EvaluationRecord)
    warnings: list[str] = field(default_factory=list)
    in_tokens: bool = True
    offset: int = 0

    @property
    def facts(self) -> dict[str, Any]:
        """The run's recorded facts: hardware, parents, mixture."""
        return dict(self.record.get("facts") or {})

    def keys(self) -> list[str]:
        """Every metric that was logged as a number, in the order of first occurrence."""
        seen: dict[str, None] = {}
        for line in self.lines:
            seen |= {key: None for key, value in line.items() if _is_number(value)}
        return list(seen)

    def curve(self, key: str) -> list[tuple[float, float]]:
        """Tokens (or steps if tokens are unknown) and value, for each line with `key`."""
        return [(self.place(line), float(line[key])) for line in self.lines if _is_number(line.get(key))]

    def last(self, key: str) -> float | None:
        """The last value of a metric."""
        return next((float(line[key]) for line in reversed(self.lines) if _is_number(line.get(key))), None)

    @property
    def tokens_per_step(self) -> int:
        """Tokens of a global batch, including padding; 0 if unknown."""
        return int(self.record.get("global_batch") or 0) * int(self.record.get("sequence_len") or 0)

    def place(self, line: Mapping[str, Any]) -> float:
        """Position of a line on the x axis of the curves."""
        return float(line.get("step", 0)) * (self.tokens_per_step if self.in_tokens else 1) + self.offset


def read_runs(folders: list[Path]) -> tuple[list[Run], dict[str, object] | None]:
    """Reads the runs of a page, and `chain.json` if the only folder is a chain's.

    Raises:
        KormoError: a folder that does not exist, or without a run.
    """
    chain: dict[str, object] | None = None
    titles: list[str] = []
    if len(folders) == 1 and (chain_file := folders[0] / CHAIN).is_file():
        chain = _chain(chain_file)
        stages = _stages(chain, folders[0])
        if not stages:
            raise KormoError(
                where=str(chain_file),
                found="no stage that has run",
                why="there is nothing to show yet",
                do="run the chain first",
            )
        titles, folders = [name for name, _ in stages], [folder for _, folder in stages]
    runs = [read_run(folder) for folder in folders]
    for run, name in zip(runs, titles or names(folders), strict=True):
        run.name = name
        run.in_tokens = all(other.tokens_per_step for other in runs)
    if chain is not None:
        done = 0
        for run in runs:
            run.offset = done
            done = max([done, *(int(run.place(line)) for line in run.lines)])
    return runs, chain


def read_run(folder: Path) -> Run:
    """Reads one run's folder.

    Raises:
        KormoError: the folder has no run.
    """
    if not (folder / RECORD).is_file() and not (folder / METRICS).is_file():
        what = "there is no such folder" if not folder.is_dir() else f"it has neither {RECORD} nor {METRICS}"
        raise KormoError(
            where=str(folder),
            found=what,
            why="a report is made from the records of a run",
            do="name the output_dir of a run, or the folder of a chain",
        )
    run = Run(folder.name, folder)
    record = _sealed(folder / RECORD, run.warnings, unnamed=True)
    run.record = _sound(record, SHAPE, RECORD, run.warnings)
    run.recipe_text, run.recipe = _recipe(folder / "recipe.yml", run.warnings)
    if run.record.get("recipe_sha256", (sha256 := _sha256(folder / "recipe.yml"))) != sha256:
        run.warnings.append(f"recipe.yml does not match the hash in {RECORD}.")
    changed = _changed(folder, run.warnings)
    run.lines, run.starts, broken = read_metrics_file(folder / METRICS) if METRICS not in changed else ([], [], [])
    if broken:
        run.warnings.append(f"{METRICS}: {len(broken):,} lines cannot be read ({_why_broken(folder)}).")
    samples = [] if SAMPLES in changed else _json(folder / SAMPLES, run.warnings, list, needed=False) or []
    run.samples = _entries(samples, {"prompt": str, "text": str}, SAMPLES, run.warnings)
    written = [] if WRITTEN in changed else _lines(folder / WRITTEN, run.warnings)
    shape = {"step": int, "prompt": str, "text": str}
    run.written = last_of_each(_entries(written, shape, WRITTEN, run.warnings))
    evaluation = _sealed(folder / EVALUATION, run.warnings, needed=False)
    scores = _sound(evaluation, {"results": list, "needle": (dict, NoneType)}, EVALUATION, run.warnings)
    if "results" in scores:
        scored: Shape = {"task": str, "value": (int, float, NoneType)}
        scores["results"] = _entries(scores["results"], scored, EVALUATION, run.warnings)
    run.evaluation = cast("EvaluationRecord", scores)
    run.warnings += _warnings(run)
    return run


def trained(run: Run) -> tuple[int, float]:
    """Steps and seconds from the first to the last logged line.

    The time between a stop and the resume is not counted, nor the steps and the time between the last line before the
    stop and the checkpoint: when the checkpoint was written is not recorded.
    """
    starts = {start.before: start for start in run.starts}
    steps, seconds, since, begun = 0, 0.0, 0, None
    for place, line in enumerate(run.lines):
        if place in starts:
            since, begun = starts[place].step, starts[place].time
        if isinstance(line.get("time"), (int, float)):
            step, now = int(line.get("step", 0)), float(line["time"])
            if begun is not None:
                steps, seconds = steps + max(0, step - since), seconds + max(0.0, now - begun)
            since, begun = step, now
    return steps, seconds


def last_of_each(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    """The last text of each step and prompt: a resumed run writes some again."""
    return list({(line.get("step"), line.get("prompt")): line for line in lines}.values())


def names(folders: list[Path]) -> list[str]:
    """Short unique names of the folders: as many trailing path components as necessary."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max((len(p) for p in parts), default=1) + 1):
        short_names = ["/".join(p[-length:]) for p in parts]
        if len(set(short_names)) == len(short_names):
            return short_names
    return [f"{'/'.join(p[-1:])} ({number})" for number, p in enumerate(parts, 1)]


STAGE: Shape = {
    "name": str, "output": str, "status": (str, NoneType), "recipe": (str, NoneType),
    **dict.fromkeys(("seconds", "steps", "tokens", "loss", "loss_at_start"), (int, float, NoneType)),
}  # fmt: skip


def _chain(path: Path) -> dict[str, object]:
    """Reads `chain.json`.

    Raises:
        KormoError: not a record of `kormo run`.
    """
    faults: list[str] = []
    record = _sealed(path, faults, unnamed=True)
    stages = record.get("stages", [])
    entries = _entries(stages, STAGE, path.name, faults) if isinstance(stages, list) else None
    if faults or entries is None:
        raise KormoError(
            where=str(path),
            found=" ".join(faults) or "no list of stages",
            why="it lists the runs of the page",
            do="run the chain again: finished stages are skipped, and the file is written again",
        )
    return {**record, "stages": entries}


def _stages(chain: Mapping[str, Any], folder: Path) -> list[tuple[str, Path]]:
    """Name and output folder of each stage of a chain that has a run, in order."""
    folders = []
    for stage in chain.get("stages") or ():
        output = str(stage.get("output") or "")
        place = next((p for p in (Path(output), folder / output) if output and (p / RECORD).is_file()), None)
        if place is not None:
            folders.append((str(stage.get("name") or place.name), place))
    return folders


def _warnings(run: Run) -> list[str]:
    messages = []
    aside = sorted(path.name for path in run.folder.glob("checkpoint-*") if _INCOMPLETE.match(path.name))
    if aside:
        messages.append(f"Checkpoints that were not whole were set aside: {', '.join(aside)}.")
    for step in (start.step for start in run.starts):
        again = (
            f"resumed from step {step:,}" if step else "restarted from the beginning, as there was no checkpoint yet"
        )
        messages.append(f"The run was interrupted and {again}.")
    messages += [f"The data were amended: {line}" for line in run.record.get("amendments") or ()]
    steps, last = run.record.get("steps"), max((line.get("step", 0) for line in run.lines), default=0)
    if preempted := stopped(run.folder, run.record):
        messages.append(preempted)
    if steps and last < steps:
        messages.append(f"The run has reached step {last:,} of {steps:,}.")
    if holder := at_work(run.folder / RUN):
        messages.append(f"The run is still in progress: {holder}. The page shows its state so far.")
    return messages


def _why_broken(folder: Path) -> str:
    holder = at_work(folder / RUN)
    return f"the last one may be incomplete: {holder}" if holder else "a process was killed while it wrote them"


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _recipe(path: Path, warnings: list[str]) -> tuple[str, dict[str, object]]:
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        warnings.append(f"{path.name} is missing or cannot be read.")
        return "", {}
    return text, values if isinstance(values, dict) else {}


def _json(path: Path, warnings: list[str], kind: type, needed: bool = True) -> Any:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(value, kind):
            return value
        warnings.append(f"{path.name} is damaged: {value_in_words(value)} instead of {type_in_words(kind)}.")
    except FileNotFoundError:
        if needed:
            warnings.append(f"{path.name} is missing.")
    except (OSError, ValueError, RecursionError):
        warnings.append(f"{path.name} cannot be read.")
    return None


def _sealed(path: Path, warnings: list[str], unnamed: bool = False, needed: bool = True) -> dict[str, object]:
    """A record with its own checksum; empty, with a warning, if it was modified."""
    value: dict[str, object] | None = _json(path, warnings, dict, needed)
    fault = "" if value is None else seal_fault(value, unnamed=unnamed)
    warnings += [f"{path.name} is not shown: {fault}."] if fault else []
    return {} if fault or value is None else value


def _changed(folder: Path, warnings: list[str]) -> list[str]:
    """Records that were modified after the end of the run; adds warnings."""
    faults = {name: record_fault(folder / name) for name in (METRICS, SAMPLES, WRITTEN)}
    warnings += [f"{name} is not shown: {fault}." for name, fault in faults.items() if fault]
    return [name for name, fault in faults.items() if fault]


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _sound(record: dict[str, object], shape: Shape, name: str, warnings: list[str]) -> dict[str, Any]:
    """The record without keys whose values have the wrong type."""
    wrong = [key for key, kind in shape.items() if key in record and not isinstance(record[key], kind)]
    warnings += [f"{name}: {key} is damaged: it holds {value_in_words(record[key])}." for key in wrong]
    return {key: value for key, value in record.items() if key not in wrong}


def _entries(found: Sequence[object], shape: Shape, name: str, warnings: list[str]) -> list[dict[str, Any]]:
    """The entries with the expected structure."""
    objects = [one for one in found if isinstance(one, dict)]
    sound = [one for one in objects if all(isinstance(one.get(key), kind) for key, kind in shape.items())]
    if len(sound) < len(found):
        warnings.append(f"{name}: {len(found) - len(sound):,} entries are damaged.")
    return sound


def _lines(path: Path, warnings: list[str]) -> list[dict[str, object]]:
    """The objects of a JSONL file; other lines are counted in a warning."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines, broken = [], 0
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            lines.append(value)
        elif line.strip():
            broken += 1
    if broken:
        warnings.append(f"{path.name}: {broken:,} lines cannot be read ({_why_broken(path.parent)}).")
    return lines
