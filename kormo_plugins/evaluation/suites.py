"""Suites: tasks, shots and metrics, with the source of each choice.

A suite is a YAML file; `--suite my_suite.yml` takes any path. Every number of shots names its source, because scores
are only comparable if they were measured the same way.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import Field

from kormo_plugins.errors import KormoError, closest, in_words
from kormo_plugins.evaluation.judged.suite import judged_names
from kormo_plugins.plugins.choice import Strict
from kormo_plugins.plugins.registry import checked

FOLDER = Path(__file__).parent / "suites"


class SuiteTask(Strict):
    """One line of a suite: a task or a group, and how it is scored."""

    task: str = Field(description="name of a task, group or tag in lm-evaluation-harness, or in a plugin's folder")
    metric: str = Field(
        default="",
        description="metric that represents the task, as the harness names it; empty: acc, exact_match, or otherwise "
        "the task's first",
    )
    filter: str = Field(default="none", description="answer filter of the harness whose result is used")
    shots: int | None = Field(
        default=None, ge=0, description="few-shot examples in the prompt; null: the task's own number"
    )
    why: str = Field(default="", description="source of the metric and the number of shots; [paper] or [ours]")
    published: str | None = Field(
        default=None, description="row of published.yml with which the score is compared; null: none"
    )
    chance: float | None = Field(default=None, ge=0, le=1, description="score of random guessing; null: unknown")
    chat: bool = Field(default=False, description="apply the chat template if the model is a chat model")
    plain: dict[str, object] = Field(
        default_factory=dict, description="task settings that apply if the model has no chat template with turns"
    )
    unverified: str = Field(
        default="", description="what could not be verified against the source of this task; empty: nothing"
    )


class Suite(Strict):
    """A list of tasks under one name."""

    title: str = Field(description="title in tables and reports")
    limit: int | None = Field(default=None, ge=1, description="maximum number of items per task; null: all")
    average: str | None = Field(
        default=None,
        description="row of published.yml with which the mean of all tasks with a published score is compared; null: "
        "none",
    )
    tasks: tuple[SuiteTask, ...] = Field(min_length=1, description="tasks in the order in which they run")


def suite_names() -> list[str]:
    """Names of the bundled suites."""
    return sorted(path.stem for path in FOLDER.glob("*.yml"))


def load_suite(name: str, where: str = "kormo eval: --suite") -> Suite:
    """Loads a suite by name or path.

    Raises:
        KormoError: no such suite, invalid YAML, or an unknown key.
    """
    path = Path(name) if name.endswith((".yml", ".yaml")) else FOLDER / f"{name}.yml"
    if not path.is_file() or (path.parent == FOLDER and path.stem not in suite_names()):
        names = sorted([*suite_names(), *judged_names()])
        raise KormoError(
            where=where,
            found=f"the suite {name!r}",
            why=f"no suite has this name; the suites are: {', '.join(names)}",
            do=closest(name, names) or "name one of these, or the path of a suite file (.yml)",
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KormoError(
            where=str(path), found=in_words(error), why="a suite is a YAML file", do="correct it"
        ) from None
    suite: Suite = checked(Suite, values, str(path))
    return suite
