"""Finds plugins and looks up components by name; there is one `Registry` per set of plugin modules of a recipe.

Three places are searched: the built-in rooms, installed distributions (entry-point group `kormo_plugins`), and the
modules named by the recipe. A plugin that cannot be imported, or that requires another version of kormo-plugins, stops
the run with the reason; two components of the same kind and name are refused, and both distributions named. No plugin
is skipped silently: what the environment blocks (`switches.py`) is remembered, and named when it is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, Literal, NamedTuple, overload

import pluggy

from kormo_plugins import hookspecs
from kormo_plugins.errors import KormoError, closest, in_words
from kormo_plugins.hookspecs import (
    KINDS,
    Architecture,
    Collator,
    Component,
    DocumentStep,
    EvaluationTasks,
    Kernel,
    Mixing,
    Objective,
    Packing,
    Params,
    Reader,
    RunCallbacks,
    SourceStep,
    TokenizerTrainer,
)
from kormo_plugins.plugins.lookup import refuse_foreign, refuse_without_hooks
from kormo_plugins.plugins.modules import check_version, distribution_of, import_module, installed_points, resolve
from kormo_plugins.plugins.parameters import checked as checked
from kormo_plugins.plugins.switches import OFF, blocked_names, is_blocked, traced

ENTRY_POINT_GROUP = "kormo_plugins"
MARKED = f"{hookspecs.PROJECT}_impl"
"""What `@hookimpl` sets on a function."""
BUILT_IN = tuple(
    f"kormo_plugins.{room}.plugin"
    for room in (
        "architecture",
        "tokenizer",
        "corpus",
        "embedded",
        "mixture",
        "training",
        "monitoring",
        "kernels",
        "posttraining",
        "evaluation",
        "reporting",
    )
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A component and its origin."""

    kind: str
    component: Component
    module: str
    distribution: str
    version: str
    origin: str
    """`built-in`, `entry point` or `recipe`."""


class Blocked(NamedTuple):
    """A plugin that `KORMO_PLUGINS` blocks."""

    module: str
    distribution: str
    version: str
    origin: str


class UnknownComponent(KormoError):
    """No installed plugin provides a component of that kind and name."""


class Registry:
    """The components of all installed and named plugins.

    Args:
        modules: further plugin modules, as named under `kormo.plugins` in a recipe.
    Raises:
        KormoError: a plugin cannot be imported, implements a hook with a wrong signature, requires another version of
            kormo-plugins, uses a name that is taken, or is both named by the recipe and blocked.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self._entries: dict[tuple[str, str], Entry] = {}
        self._from: dict[str, tuple[str, str, str]] = {}
        self._block = blocked_names()
        self.blocked: list[Blocked] = []
        for module in BUILT_IN:
            if not self._blocks(module, *distribution_of(module), "built-in"):
                self._add(import_module(module, "the built-in plugins"), *distribution_of(module), "built-in")
        for point in installed_points(ENTRY_POINT_GROUP):
            module = point.value.split(":")[0]
            dist = (point.dist.name, point.dist.version) if point.dist else ("unknown", "?")
            if not self._blocks(module, *dist, "entry point"):
                check_version(point, *dist)
                self._add(import_module(module, f"the distribution {dist[0]}"), *dist, "entry point")
        for module in modules:
            if self._blocks(module, *distribution_of(module), "recipe"):
                raise KormoError(
                    where=f"kormo.plugins: {module}",
                    found=f"KORMO_PLUGINS={','.join(self._block)}",
                    why="the recipe names a plugin that the environment blocks; a run without it would be a different "
                    "run",
                    do="unset KORMO_PLUGINS, or remove the plugin from the recipe",
                )
            self._add_named(module)
        self._refuse_idle_block()
        self._collect()

    def _add_named(self, module: str) -> None:
        """Imports a module that a recipe names, if it is a plugin and allowed (`lookup.py`)."""
        where = f"kormo.plugins: {module}"
        if module not in self._from:
            refuse_without_hooks(module, where)
            refuse_foreign(module, where)
        imported = import_module(module, "kormo.plugins")
        self._add(imported, *distribution_of(module), "recipe")
        if not self.manager.get_hookcallers(imported):
            refuse_without_hooks(module, where, imported=True)

    def _blocks(self, module: str, distribution: str, version: str, origin: str) -> bool:
        """Whether the environment blocks the plugin; if so, it is remembered."""
        if not is_blocked(self._block, module, distribution, origin == "built-in"):
            return False
        self.blocked.append(Blocked(module, distribution, version, origin))
        return True

    def _refuse_idle_block(self) -> None:
        """Refuses a name that blocks nothing: it is misspelt, and the plugin that it means would run."""

        def blocks(name: str) -> bool:
            """Whether a name of KORMO_PLUGINS has blocked anything."""
            return any(is_blocked((name,), entry.module, entry.distribution, False) for entry in self.blocked)

        idle = [name for name in self._block if not blocks(name)]
        if idle and self._block != (OFF,):
            known = {name for module, (distribution, *_) in self._from.items() for name in (module, distribution)}
            raise KormoError(
                where="KORMO_PLUGINS",
                found=repr(idle[0]),
                why="nothing of that name is installed, so it blocks nothing",
                do=closest(idle[0], known - {"kormo-plugins"})
                or "correct it; `kormo plugins list` shows what is installed",
            )

    def _add(self, module: ModuleType, distribution: str, version: str, origin: str) -> None:
        name = module.__name__
        if name in self._from:  # an installed plugin that the recipe also names
            return
        self._from[name] = (distribution, version, origin)
        try:
            self.manager.register(module, name)
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            message = " ".join(str(error).split())
            wrong = re.search(r"unknown hook '(\w+)'", message)
            near = closest(wrong[1], KINDS.values()) + " " if wrong else ""
            raise KormoError(
                where=self._named(name),
                found=message,
                why="a hook implementation must have the name and the arguments of kormo_plugins/hookspecs.py",
                do=f"{near}Correct the function (`KORMO_PLUGINS=off kormo plugins hooks` shows the contract), or "
                f"{self._without(name)}",
            ) from error
        for hook in KINDS.values():
            if callable(getattr(module, hook, None)) and not hasattr(getattr(module, hook), MARKED):
                raise KormoError(
                    where=self._named(name),
                    found=f"the function {hook} without @hookimpl",
                    why="it would not be called, and its components would be silently missing",
                    do="write `@hookimpl` above it (from kormo_plugins import hookimpl)",
                )

    def _named(self, module: str) -> str:
        distribution, version, _ = self._from[module]
        return f"plugin {module} ({distribution} {version})"

    def _without(self, module: str) -> str:
        """Advice on how to run without a plugin."""
        distribution, _, origin = self._from[module]
        if origin == "entry point":
            return f"uninstall {distribution}, or set KORMO_PLUGINS={distribution}, which blocks it"
        return "remove it from kormo.plugins"

    def _collect(self) -> None:
        for kind, hook in KINDS.items():
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                module = implementation.plugin_name
                try:
                    with traced(f"{hook}() of {module}"):
                        components = list(implementation.function() or ())
                except Exception as error:  # any failure: a run without the plugin would be another run
                    raise KormoError(
                        where=self._named(module),
                        found=f"{hook}() fails: {in_words(error)}",
                        why="a hook yields its components or returns a list of them; those of this one are unknown",
                        do=f"correct it, or {self._without(module)}",
                    ) from error
                for component in components:
                    self._claim(kind, component, module)

    def _claim(self, kind: str, component: object, module: str) -> None:
        if not isinstance(component, Component) or not re.fullmatch(r"\w[\w.-]*", str(component.name)):
            raise KormoError(
                where=self._named(module),
                found=f"{KINDS[kind]}() yields {component!r}"[:160],
                why="it yields `Component`s, whose names are words: a recipe says `name: my_step`",
                do=f"correct it, or {self._without(module)}",
            )
        distribution, version, origin = self._from[module]
        entry = Entry(kind, component, module, distribution, version, origin)
        other = self._entries.setdefault((kind, component.name), entry)
        if other is not entry:
            raise KormoError(
                where=f"plugins {other.distribution} ({other.module}) and {distribution} ({module})",
                found=f"both provide the {kind} {component.name!r}",
                why="a recipe could not say which of the two it means",
                do=f"rename the component in {module}, or {self._without(module)}",
            )

    def entries(self) -> list[Entry]:
        """Every component, by kind and name."""
        return [self._entries[key] for key in sorted(self._entries)]

    def names(self, kind: str) -> list[str]:
        """The names of one kind, sorted."""
        return sorted(name for k, name in self._entries if k == kind)

    def get(self, kind: str, name: str, where: str = "") -> Component:
        """The component of that kind and name.

        Raises:
            UnknownComponent: there is none; the message lists those that exist and the nearest.
        """
        entry = self._entries.get((kind, name)) if isinstance(name, str) else None
        if entry is None:
            names = self.names(kind)
            blocked = ", ".join(entry.module for entry in self.blocked)
            hidden = f" (KORMO_PLUGINS blocks {blocked})" if blocked else ""
            raise UnknownComponent(
                where=where or f"the {kind} {name!r}",
                found=f"the name {name!r}",
                why=f"no installed plugin provides such a {kind}; there are: {', '.join(names) or 'none'}{hidden}",
                do=closest(str(name), names)
                or (
                    "unset KORMO_PLUGINS"
                    if blocked
                    else "install the plugin that provides it, or name its module in kormo.plugins"
                ),
            )
        return entry.component

    @overload
    def load(self, kind: Literal["architecture"], name: str, where: str = "") -> Architecture: ...
    @overload
    def load(self, kind: Literal["tokenizer"], name: str, where: str = "") -> TokenizerTrainer: ...
    @overload
    def load(self, kind: Literal["reader"], name: str, where: str = "") -> Reader: ...
    @overload
    def load(self, kind: Literal["generator"], name: str, where: str = "") -> Reader: ...
    @overload
    def load(
        self, kind: Literal["corpus_step"], name: str, where: str = ""
    ) -> Callable[[Params], DocumentStep | SourceStep]: ...
    @overload
    def load(self, kind: Literal["packing"], name: str, where: str = "") -> Packing: ...
    @overload
    def load(self, kind: Literal["mixing"], name: str, where: str = "") -> Mixing: ...
    @overload
    def load(self, kind: Literal["collator"], name: str, where: str = "") -> Callable[[Params], Collator]: ...
    @overload
    def load(self, kind: Literal["kernel"], name: str, where: str = "") -> Kernel: ...
    @overload
    def load(self, kind: Literal["objective"], name: str, where: str = "") -> Objective: ...
    @overload
    def load(self, kind: Literal["evaluation_task"], name: str, where: str = "") -> EvaluationTasks: ...
    @overload
    def load(self, kind: Literal["run_callback"], name: str, where: str = "") -> RunCallbacks: ...
    @overload
    def load(self, kind: str, name: str, where: str = "") -> Any: ...
    def load(self, kind: str, name: str, where: str = "") -> object:
        """The object that the component's `load` names."""
        component = self.get(kind, name, where)
        with traced(f"load {kind} {name}: {component.load}"):
            return resolve(component.load, f"{kind} {name}")

    def params(self, kind: str, name: str, values: dict[str, object] | None = None, where: str = "") -> Any:
        """`values` checked against the component's parameter model; None for a component without parameters.

        Raises:
            KormoError: a key is unknown, a value has the wrong type or is missing; the message names the key.
        """
        component = self.get(kind, name, where)
        values = values or {}
        where = where or f"{kind} {name}"
        if component.params is None:
            if values:
                raise KormoError(
                    where=where,
                    found=f"the key{'s' * (len(values) > 1)} {', '.join(sorted(values))}",
                    why=f"the {kind} {name!r} takes no parameters",
                    do=f"remove {'them' if len(values) > 1 else 'it'}",
                )
            return None
        return checked(self.model(kind, name), values, where)

    def model(self, kind: str, name: str) -> Any:
        """The pydantic model of a component's parameters; None if it takes none.

        Raises:
            KormoError: there is no such component, or its `params` is no pydantic model.
        """
        component = self.get(kind, name)
        if component.params is None:
            return None
        model = resolve(component.params, f"{kind} {name}")
        if not hasattr(model, "model_fields"):
            raise KormoError(
                where=self._named(self._entries[kind, name].module),
                found=f"params={component.params!r} of the {kind} {name!r}",
                why="it is not a pydantic model, so the keys of a recipe could be neither checked nor shown",
                do="derive it from pydantic.BaseModel",
            )
        return model


@lru_cache(maxsize=8)
def registry(modules: tuple[str, ...] = ()) -> Registry:
    """The registry for a set of plugin modules, created once per process."""
    return Registry(modules)
