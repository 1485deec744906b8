"""Runs one evaluation: checks names, data and lengths first, then loads the model and writes the record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kormo_plugins.evaluation.catalogue import Named, catalogue_of
from kormo_plugins.evaluation.harness import Model
from kormo_plugins.evaluation.models.checkpoint import Checkpoint
from kormo_plugins.evaluation.plan import Wanted, make_ready
from kormo_plugins.evaluation.record import Record
from kormo_plugins.evaluation.score import mean_row, score, suite_row
from kormo_plugins.evaluation.suites import SuiteTask, load_suite, suite_names
from kormo_plugins.measures.scores import SuiteRow
from kormo_plugins.plugins.registry import Registry

Say = Callable[[str], None]
OWN = "tasks"
"""Suite name in the rows of tasks given with `--tasks`."""


@dataclass(frozen=True)
class Line:
    """A line of a suite, its resolved tasks, and the published row that the suite's mean is compared with."""

    suite: str
    line: SuiteTask
    named: Named
    limit: int | None
    average: str | None = None


def find_lines(suites: Sequence[str], tasks: Sequence[str], limit: int | None, registry: Registry) -> list[Line]:
    """Resolves suite and task names; only suites and the task index are read.

    A task given by name takes its settings from the first bundled suite that contains it.

    Raises:
        KormoError: a suite, task or group that does not exist, with the nearest that does.
    """
    catalogue = catalogue_of(registry)
    suite_lines = []
    for name in suites:
        suite = load_suite(name)
        label = Path(name).stem
        for line in suite.tasks:
            named = catalogue.find(line.task, f"suite {label}")
            suite_lines.append(Line(label, line, named, limit or suite.limit, suite.average))
    known = {line.task: line for name in reversed(suite_names()) for line in load_suite(name).tasks}
    for task in tasks:
        line = known.get(task, SuiteTask(task=task))
        suite_lines.append(Line(OWN, line, catalogue.find(task, "kormo eval: --tasks"), limit))
    return suite_lines


def quiet_harness() -> None:
    """Silences warnings of the harness that we raise or record ourselves."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    logging.getLogger("lm_eval.api.registry").setLevel(logging.CRITICAL)  # it searches the hub for f1, in vain


def evaluate(
    lines: Sequence[Line],
    model: Checkpoint,
    record: Record,
    registry: Registry,
    *,
    data: Path | None = None,
    cut_long: bool = False,
    load: Callable[[], Model],
    say: Say,
) -> list[SuiteRow]:
    """Scores a checkpoint; returns a row per line and adds it to the record.

    Args:
        load: returns the harness's model; not called if all tasks are already finished.
    """
    quiet_harness()
    wanted = [Wanted(one.suite, leaf, one.line, one.limit) for one in lines for leaf in one.named.leaves]
    ready = make_ready(wanted, catalogue_of(registry), model, data=data, cut_long=cut_long)
    say(f"{len(ready)} tasks, {sum(len(one.task.instances) for one in ready):,} requests")
    record.write()  # fails before the model is loaded if the folder is not writable
    rows = score(ready, load, record, say)
    results = [
        suite_row(one.suite, one.line, one.named, [rows[one.suite, leaf.name] for leaf in one.named.leaves], one.limit)
        for one in lines
    ]
    averages = {one.suite: one.average for one in lines if one.average}
    results += [
        mean_row(suite, [one for one in results if one["suite"] == suite], averages[suite]) for suite in averages
    ]
    record.add_results(results)
    return results
