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
        description="the metric that stands for it, as the harness names it; empty: acc, "
        "exact_match, or else the task's first",
    )
    filter: str = Field(default="none", description="the harness's answer filter whose result is taken")
    shots: int | None = Field(default=None, ge=0, description="examples in the prompt; null: the task's own number")
    why: str = Field(default="", description="where metric and shots come from; [paper] or [ours]")
    published: str | None = Field(default=None, description="row of published.yml that it is compared with")
    chance: float | None = Field(default=None, ge=0, le=1, description="score of a model that knows nothing")
    chat: bool = Field(default=False, description="ask a chat model through its chat template")
    plain: dict[str, object] = Field(
        default_factory=dict, description="task settings for a model without a chat template's turns"
    )
    unverified: str = Field(default="", description="what about this task could not be checked against its source")


class Suite(Strict):
    """A list of tasks under one name."""

    title: str = Field(description="one line for people")
    limit: int | None = Field(default=None, ge=1, description="items per task; null: all of them")
    average: str | None = Field(
        default=None,
        description="row of published.yml that the mean of all tasks with a published score is compared with",
    )
    tasks: tuple[SuiteTask, ...] = Field(min_length=1, description="what is asked, in this order")


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
