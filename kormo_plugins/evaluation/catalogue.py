"""Resolves task names to configurations, from the harness's own folder and those of plugins.

The harness indexes its task files by name: a task, a group of tasks with an aggregate score, or a tag, which is a list
of tasks without one. `Catalogue.find` resolves a name to its leaf tasks, in order, and the rule that aggregates their
scores; no data is read. The harness's index of thousands of files is only built for names that no plugin provides.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import cast

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.evaluation.harness import Config, Index
from kormo_plugins.plugins.registry import Registry

TASKS = Path(__file__).parent / "tasks"


def korean_folder() -> Path:
    """Folder of task files for Korean benchmarks that the harness lacks."""
    return TASKS / "korean"


def mini_folder() -> Path:
    """Folder of the mini suite's task files."""
    return TASKS / "mini"


def instructions_folder() -> Path:
    """Folder of task files for instruction following."""
    return TASKS / "instructions"


def generated_folder() -> Path:
    """Folder of task files for benchmarks with generated answers."""
    return TASKS / "generated"


@dataclass(frozen=True)
class Leaf:
    """One task: its name and the configuration overrides of its parent groups."""

    name: str
    overrides: Config = field(default_factory=Config)


@dataclass(frozen=True)
class Named:
    """A resolved name.

    Args:
        leaves: the tasks to run.
        weight_by_size: whether the mean weights tasks by their number of items (the harness's default) or equally.
        single: the name is a task, not a group.
    """

    name: str
    leaves: tuple[Leaf, ...]
    weight_by_size: bool = True
    single: bool = False


class Catalogue:
    """Index of all task files.

    Args:
        folders: folders of task files besides the harness's own.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = [str(folder) for folder in folders]
        self._small = _manager(tuple(self._folders), False)

    def manager(self, name: str) -> Index:
        """The index that contains the name: the plugins' or the harness's."""
        return self._small if name in self._small.task_index else _manager(tuple(self._folders), True)

    def names(self) -> list[str]:
        """Every name, sorted."""
        return sorted(_manager(tuple(self._folders), True).task_index)

    def find(self, name: str, where: str) -> Named:
        """Resolves a name.

        Raises:
            KormoError: no task, group or tag has this name; the message suggests the nearest one.
        """
        index = self.manager(name).task_index
        if name not in index:
            raise KormoError(
                where=where,
                found=f"the task {name!r}",
                why="neither the harness nor a plugin has a task, group or tag of that name",
                do=closest(name, index) or "`lm_eval ls tasks` lists the harness's",
            )
        kind = index[name]["type"]
        if kind == "task":
            return Named(name, (Leaf(name),), single=True)
        leaves = tuple({leaf.name: leaf for leaf in self._leaves(name, {}, where)}.values())
        metrics = self._group(name).get("aggregate_metric_list") if kind == "group" else None
        rules = metrics or [] if not isinstance(metrics, dict) else [metrics]
        return Named(name, leaves, all(rule.get("weight_by_size", True) for rule in rules))

    def _group(self, name: str) -> Config:
        path = self.manager(name).task_index[name]["yaml_path"]
        return _read(path).copy() if isinstance(path, str) else {}

    def _leaves(self, name: str, overrides: Config, where: str) -> Iterator[Leaf]:
        index = self.manager(name).task_index
        if name not in index:
            raise KormoError(
                where=where,
                found=f"the task {name!r} of a group",
                why="the harness has no such task",
                do="correct the group's file",
            )
        kind = index[name]["type"]
        if kind == "task":
            yield Leaf(name, overrides)
        elif kind == "tag":
            for one in index[name]["task"]:
                yield from self._leaves(one, overrides, where)
        elif kind == "group":
            yield from self._members(self._group(name), overrides, where)
        else:
            raise KormoError(
                where=where,
                found=f"the task {name!r}",
                why="it is a Python class that loads its own data, which is not supported here",
                do="use `lm_eval run` for it",
            )

    def _members(self, group: Config, overrides: Config, where: str) -> Iterator[Leaf]:
        """Leaves of a group's member list: names, inline groups, or names with overrides."""
        from lm_eval.tasks import GROUP_ONLY_KEYS

        own: Config = {**_without(group, GROUP_ONLY_KEYS), **overrides}
        for member in group["task"]:
            if isinstance(member, str):
                yield from self._leaves(member, own, where)
            elif isinstance(task := member["task"], str):
                yield from self._leaves(task, {**_without(member, ["task"]), **own}, where)
            else:
                yield from self._members(member, own, where)

    def configuration(self, leaf: Leaf, changes: Mapping[str, object] | None = None) -> Config:
        """A task's full configuration with its functions imported; `changes` override its file."""
        path = self.manager(leaf.name).task_index[leaf.name]["yaml_path"]
        return cast("Config", {**_read(str(path)), **leaf.overrides, **(changes or {})})


def _without(config: Config, keys: Container[str]) -> Config:
    return cast("Config", {key: value for key, value in config.items() if key not in keys})


@lru_cache(maxsize=4)
def _manager(folders: tuple[str, ...], defaults: bool) -> Index:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from lm_eval.tasks import TaskManager

    index: Index = TaskManager(include_path=list(folders), include_defaults=defaults)
    return index


def _read(path: str) -> Config:
    from lm_eval.utils import load_yaml_config

    values: Config = load_yaml_config(path, mode="full")
    return values


def catalogue_of(registry: Registry) -> Catalogue:
    """The catalogue of the harness's tasks and those of plugins."""
    folders = [Path(registry.load("evaluation_task", name)()) for name in registry.names("evaluation_task")]
    for folder, name in zip(folders, registry.names("evaluation_task"), strict=True):
        if not folder.is_dir():
            raise KormoError(
                where=f"evaluation_task {name}",
                found=str(folder),
                why="a plugin's tasks are in a folder, which does not exist",
                do="correct the plugin",
            )
    return Catalogue(folders)
