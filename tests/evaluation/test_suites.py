"""Suites name tasks that exist, and published scores that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation.published import published, scores_of
from kormo_plugins.evaluation.run import find_lines
from kormo_plugins.evaluation.score import mean_row
from kormo_plugins.evaluation.suites import load_suite, suite_names


@pytest.mark.parametrize("name", ["korean", "english", "quick", "mini"])
def test_every_task_of_a_suite_exists(name: str, registry: Any) -> None:
    lines = find_lines([name], [], None, registry)
    assert all(line.named.leaves for line in lines)
    assert name in suite_names()


def test_the_cards_benchmarks_are_all_there() -> None:
    """Thirteen in English and nine in Korean, and their averages are those of the card."""
    scores = published().scores
    for suite, count, average in (("english", 13, "average_en"), ("korean", 9, "average_ko")):
        rows = [line.published for line in load_suite(suite).tasks if line.published]
        assert len(rows) == len(set(rows)) == count
        for number, model in enumerate(published().models):
            mean = sum(scores[row][number] for row in rows) / count
            assert mean == pytest.approx(scores[average][number], abs=0.006), model
    assert scores_of("kmmlu")["KORMo-10B"] == 46.48
    assert scores_of(None) == {}


@pytest.mark.parametrize(
    ("suites", "tasks", "told"),
    [
        (["koreen"], [], "'korean'"),
        ([], ["kobest_bolq"], "'kobest_boolq'"),
        ([], ["no such thing at all"], "lm_eval ls tasks"),
    ],
)
def test_names_that_do_not_exist(suites: list[str], tasks: list[str], told: str, registry: Any) -> None:
    with pytest.raises(KormoError) as error:
        find_lines(suites, tasks, None, registry)
    assert told in error.value.render()


def test_a_suite_of_the_users_own(tmp_path: Path, registry: Any) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("title: mine\ntasks:\n  - {task: mini_choice_ko, metric: acc, shots: 0}\n")
    assert [line.named.name for line in find_lines([str(path)], [], 3, registry)] == ["mini_choice_ko"]
    path.write_text("title: mine\ntasks:\n  - {task: mini_choice_ko, metrik: acc}\n")
    with pytest.raises(KormoError, match="'metric'"):
        find_lines([str(path)], [], None, registry)


def test_unequal_weights_are_said(registry: Any) -> None:
    """A tag and a group become their tasks; each task once."""
    (mmlu,) = find_lines([], ["mmlu"], None, registry)
    assert len({leaf.name for leaf in mmlu.named.leaves}) == len(mmlu.named.leaves) == 57
    (mini,) = find_lines([], ["mini_tasks"], None, registry)
    assert len(mini.named.leaves) == 10


def test_the_mean_counts_each_task_alike() -> None:
    """As the card's average does; tasks without a published score are not in it."""

    def row(value: float, n: int, published: str | None, stderr: float | None = 0.1) -> dict[str, Any]:
        return {"suite": "s", "value": value, "stderr": stderr, "n": n, "published": scores_of(published),
                "limit": None, "chat": False, "harness": "0"}  # fmt: skip

    rows = [row(0.2, 10, "click"), row(0.6, 1000, "kmmlu"), row(0.9, 5, None)]
    mean = mean_row("korean", rows, "average_ko")
    assert mean["value"] == pytest.approx(0.4) and mean["n"] == 1010 and mean["task"] == "mean of 2 tasks"
    assert mean["stderr"] == pytest.approx(0.02**0.5 / 2)
    assert mean_row("korean", [*rows, row(0.1, 3, "kobest", None)], "average_ko")["stderr"] is None
