"""Finds plugins and answers for names: one `Registry` per set of plugin modules that a recipe names.

Three places are searched: the built-in rooms, installed distributions (entry-point group `kormo_plugins`), and the
modules named by the recipe. A plugin that cannot be imported stops the run with the reason; two components of one
kind and name are refused with both distributions named. Neither is ever skipped in silence.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import pluggy

from kormo_plugins import hookspecs
from kormo_plugins.errors import KormoError, closest
from kormo_plugins.hookspecs import KINDS, Component

ENTRY_POINT_GROUP = "kormo_plugins"
BUILT_IN = tuple(
    f"kormo_plugins.{room}.plugin"
    for room in (
        "architecture", "tokenizer", "corpus", "mixture", "training",
        "kernels", "posttraining", "evaluation", "reporting",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """A component together with where it came from."""

    kind: str
    component: Component
    module: str
    distribution: str
    version: str
    origin: str
    """`built-in`, `entry point` or `recipe`."""


class Registry:
    """All components that the installed and named plugins yield.

    Args:
        modules: further plugin modules, as named under `kormo.plugins` in a recipe.
    Raises:
        KormoError: a plugin cannot be imported, implements a hook with a wrong signature, or takes a name that
            another one has.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self._entries: dict[tuple[str, str], Entry] = {}
        self._from: dict[str, tuple[str, str, str]] = {}
        for module in BUILT_IN:
            self._add(_import(module, "the built-in plugins"), *_distribution(module), "built-in")
        for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.value):
            dist = (point.dist.name, point.dist.version) if point.dist else ("unknown", "?")
            self._add(_import(point.value.split(":")[0], f"the distribution {dist[0]}"), *dist, "entry point")
        for module in modules:
            self._add(_import(module, "kormo.plugins"), *_distribution(module), "recipe")
        self._collect()

    def _add(self, module: ModuleType, distribution: str, version: str, origin: str) -> None:
        name = module.__name__
        if name in self._from:  # an installed plugin that the recipe names as well
            return
        self._from[name] = (distribution, version, origin)
        try:
            self.manager.register(module, name)
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise KormoError(
                f"plugin {name} ({distribution} {version})",
                " ".join(str(error).split()),
                "a hook implementation must have the name and the arguments of kormo_plugins/hookspecs.py",
                "correct the function, or remove the plugin; `kormo plugins list` shows what is installed",
            ) from error

    def _collect(self) -> None:
        for kind, hook in KINDS.items():
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                for component in implementation.function() or ():
                    self._claim(kind, component, implementation.plugin_name)

    def _claim(self, kind: str, component: Component, module: str) -> None:
        distribution, version, origin = self._from[module]
        entry = Entry(kind, component, module, distribution, version, origin)
        other = self._entries.setdefault((kind, component.name), entry)
        if other is not entry:
            raise KormoError(
                f"plugins {other.distribution} ({other.module}) and {distribution} ({module})",
                f"both provide the {kind} {component.name!r}",
                "a recipe could not say which of the two it means",
                f"uninstall one of them, or rename the component in {module}",
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
            KormoError: there is none; the message lists those that exist and the nearest.
        """
        entry = self._entries.get((kind, name))
        if entry is None:
            names = self.names(kind)
            raise KormoError(
                where or f"the {kind} {name!r}",
                f"the name {name!r}",
                f"no installed plugin provides a {kind} of that name; there are: {', '.join(names) or 'none'}",
                closest(name, names) or "install the plugin that provides it, or name its module in kormo.plugins",
            )
        return entry.component

    def load(self, kind: str, name: str, where: str = "") -> Any:
        """The object that the component's `load` names."""
        return resolve(self.get(kind, name, where).load, f"{kind} {name}")

    def params(self, kind: str, name: str, values: dict[str, Any] | None = None, where: str = "") -> Any:
        """`values` checked against the component's parameter model; None for a component without parameters.

        Raises:
            KormoError: an unknown key, a wrong type or a missing value; the message names the key.
        """
        component = self.get(kind, name, where)
        values = values or {}
        where = where or f"{kind} {name}"
        if component.params is None:
            if values:
                raise KormoError(where, f"the keys {', '.join(sorted(values))}", f"the {kind} {name!r} takes none",
                                 "remove them")  # fmt: skip
            return None
        return checked(resolve(component.params, f"{kind} {name}"), values, where)


def checked(model: Any, values: dict[str, Any], where: str) -> Any:
    """`values` as an instance of the pydantic `model`, its first fault told as a KormoError."""
    from pydantic import ValidationError

    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        full = f"{where}.{key}" if key else where
        if first["type"] == "extra_forbidden":
            *way, name = (str(part) for part in first["loc"])
            known = _fields_at(model, way)
            raise KormoError(
                full, f"the key {name!r}", "it is not known here",
                closest(name, known, f"The known keys are: {', '.join(known)}"),
            ) from None  # fmt: skip
        if first["type"] == "missing":
            raise KormoError(full, "nothing", "a value is required", f"set {key}") from None
        raise KormoError(full, repr(first["input"]), first["msg"], "give a value of that kind") from None


def _fields_at(model: Any, way: Sequence[str]) -> list[str]:
    """The fields of the model that keys lead into from `model`; list indices and keys of mappings lead nowhere else."""
    for name in way:
        if name in model.model_fields:
            model = next(_models(model.model_fields[name].annotation), model)
    return list(model.model_fields)


def _models(hint: Any) -> Iterator[Any]:
    """The pydantic models inside a type hint."""
    if hasattr(hint, "model_fields"):
        yield hint
    for argument in typing.get_args(hint):
        yield from _models(argument)


def resolve(target: Any, what: str) -> Any:
    """The object named by `"package.module:attribute"`; anything but a string is already the object."""
    if not isinstance(target, str):
        return target
    module_name, _, attribute = target.partition(":")
    module = _import(module_name, what)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise KormoError(
            what, f"{target!r}", f"the module {module_name} has no attribute {attribute!r}",
            closest(attribute, dir(module)) or "correct the plugin",
        ) from None  # fmt: skip


def _import(module: str, who: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:  # a plugin may fail in any way while it is imported; all stop the run
        raise KormoError(
            f"plugin {module} (named by {who})",
            f"{type(error).__name__}: {error}",
            "it cannot be imported, and a run without it would not be the run that was asked for",
            "install what it needs, or remove it from where it is named",
        ) from error


@lru_cache(maxsize=1)
def _packages() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _distribution(module: str) -> tuple[str, str]:
    top = module.split(".")[0]
    if top == "kormo_plugins":
        from kormo_plugins import __version__

        return "kormo-plugins", __version__
    names: Iterable[str] = _packages().get(top, ())
    for name in names:
        return name, importlib.metadata.version(name)
    return f"the module {top}", "?"


@lru_cache(maxsize=8)
def registry(modules: tuple[str, ...] = ()) -> Registry:
    """The registry for a set of plugin modules, made once per process."""
    return Registry(modules)
