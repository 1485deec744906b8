"""Every task of both large suites, from a folder of data to a score: a model that finds the answers scores full."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation import run
from kormo_plugins.evaluation.catalogue import catalogue_of
from kormo_plugins.evaluation.record import Record

from .conftest import with_positions
from .made_data import Oracle, write_all, write_rows_of


def scored(suite: str, lines: list[run.Line], model: Any, registry: Any, folder: Path) -> dict[str, Any]:
    """Task -> row, of the oracle on made-up data."""
    write_all(folder / "data", lines, catalogue_of(registry))
    rows = run.evaluate(
        lines, with_positions(model, 100_000), Record(folder / "out", model), registry, data=folder / "data",
        load=Oracle, say=lambda line: None,
    )  # fmt: skip
    return {row["task"]: row for row in rows}


@pytest.mark.parametrize(
    ("suite", "count", "compared", "average"), [("korean", 11, 9, 58.15), ("english", 13, 13, 63.45)]
)
def test_one_task_of_each_line(
    suite: str, count: int, compared: int, average: float, opened: Any, registry: Any, tmp_path: Path
) -> None:
    """Prompt, options and answer of each data set belong together, ours and the harness's; GPQA's options, which the
    harness shuffles anew whenever it is asked for them, too."""
    lines = run.find_lines([suite], [], None, registry)
    lines = [replace(one, named=replace(one.named, leaves=one.named.leaves[:1])) for one in lines]
    rows = scored(suite, lines, opened, registry, tmp_path)
    assert len(rows) == count + 1
    mean = rows[f"mean of {compared} tasks"]
    assert mean["published"]["KORMo-10B"] == average and mean["stderr"] == 0
    assert {task: row["value"] for task, row in rows.items()} == dict.fromkeys(rows, 1.0)


@pytest.mark.soak
@pytest.mark.parametrize("suite", ["korean", "english"])
def test_every_task_of_every_line(suite: str, opened: Any, registry: Any, tmp_path: Path) -> None:
    rows = scored(suite, run.find_lines([suite], [], None, registry), opened, registry, tmp_path)
    assert {task: row["value"] for task, row in rows.items()} == dict.fromkeys(rows, 1.0)


def test_a_shuffle_is_the_same_each_time(opened: Any, registry: Any, tmp_path: Path) -> None:
    """The same requests, whatever was drawn before, so that what is finished is found again; and nobody's random
    numbers change."""
    from kormo_plugins.evaluation.plan import Wanted, make_ready

    catalogue = catalogue_of(registry)
    lines = run.find_lines([], ["gpqa_main_zeroshot"], None, registry)
    write_all(tmp_path, lines, catalogue)
    wanted = [Wanted("s", lines[0].named.leaves[0], lines[0].line, None)]
    model, hashes = with_positions(opened, 100_000), set()
    for seed in (1, 2):
        random.seed(seed)
        before = random.getstate()
        (ready,) = make_ready(wanted, catalogue, model, data=tmp_path, cut_long=False)
        assert random.getstate() == before
        hashes.add(ready.hash)
        answers = [one.doc["answer"] for one in ready.task.instances[::4]]
        assert answers == [doc["answer"] for doc in ready.task.eval_docs] and len(set(answers)) > 1
    assert len(hashes) == 1


def test_examples_of_a_tasks_own_number_need_their_split(opened: Any, registry: Any, tmp_path: Path) -> None:
    """MMLU-Pro has five by itself: without their split, the harness would take questions for examples."""
    write_rows_of(tmp_path, "TIGER-Lab/MMLU-Pro", "", ("test",), ("biology",))
    line = run.find_lines([], ["mmlu_pro_biology"], None, registry)
    with pytest.raises(KormoError, match="no file of 'validation'"):
        run.evaluate(
            line, opened, Record(tmp_path, opened), registry, data=tmp_path, load=Oracle, say=lambda line: None
        )
