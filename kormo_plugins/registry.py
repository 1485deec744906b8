"""Finds plugins and answers for names: one `Registry` per set of plugin modules that a recipe names.

Three places are searched: the built-in rooms, installed distributions (entry-point group `kormo_plugins`), and the
modules named by the recipe. A plugin that cannot be imported stops the run with the reason, as does one that needs
another version of us; two components of one kind and name are refused with both distributions named. None is ever
skipped in silence: what the environment blocks (`plugin_switches.py`) is remembered and named when it is missed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import pluggy

from kormo_plugins import hookspecs
from kormo_plugins.errors import KormoError, closest
from kormo_plugins.hookspecs import KINDS, Component
from kormo_plugins.plugin_switches import OFF, blocked_names, is_blocked, traced

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


class Blocked(NamedTuple):
    """A plugin that `KORMO_PLUGINS` keeps out."""

    module: str
    distribution: str
    version: str
    origin: str


class Registry:
    """All components that the installed and named plugins yield.

    Args:
        modules: further plugin modules, as named under `kormo.plugins` in a recipe.
    Raises:
        KormoError: a plugin cannot be imported, implements a hook with a wrong signature, needs another version of
            kormo-plugins, takes a name that another one has, or is both named by the recipe and blocked.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self._entries: dict[tuple[str, str], Entry] = {}
        self._from: dict[str, tuple[str, str, str]] = {}
        self._block = blocked_names()
        self.blocked: list[Blocked] = []
        for module in BUILT_IN:
            if not self._blocks(module, *_distribution(module), "built-in"):
                self._add(_import(module, "the built-in plugins"), *_distribution(module), "built-in")
        for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.value):
            module = point.value.split(":")[0]
            dist = (point.dist.name, point.dist.version) if point.dist else ("unknown", "?")
            if not self._blocks(module, *dist, "entry point"):
                _check_version(point, *dist)
                self._add(_import(module, f"the distribution {dist[0]}"), *dist, "entry point")
        for module in modules:
            if self._blocks(module, *_distribution(module), "recipe"):
                raise KormoError(
                    f"kormo.plugins: {module}", f"KORMO_PLUGINS={','.join(self._block)}",
                    "the recipe names a plugin that the environment blocks; a run without it would be another run",
                    "unset KORMO_PLUGINS, or remove the plugin from the recipe",
                )  # fmt: skip
            self._add(_import(module, "kormo.plugins"), *_distribution(module), "recipe")
        self._refuse_idle_block()
        self._collect()

    def _blocks(self, module: str, distribution: str, version: str, origin: str) -> bool:
        """Whether the environment blocks the plugin; remembers it if so."""
        if not is_blocked(self._block, module, distribution, origin == "built-in"):
            return False
        self.blocked.append(Blocked(module, distribution, version, origin))
        return True

    def _refuse_idle_block(self) -> None:
        """A name that blocks nothing is a misspelt one, and what it was to block would run."""

        def blocks(name: str) -> bool:
            return any(is_blocked((name,), entry.module, entry.distribution, False) for entry in self.blocked)

        idle = [name for name in self._block if not blocks(name)]
        if idle and self._block != (OFF,):
            known = {name for module, (distribution, *_) in self._from.items() for name in (module, distribution)}
            raise KormoError(
                "KORMO_PLUGINS", repr(idle[0]), "nothing of that name is installed, so it blocks nothing",
                closest(idle[0], known - {"kormo-plugins"}) or "correct it; `kormo plugins list` shows what there is",
            )  # fmt: skip

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
                with traced(f"{hook}() of {implementation.plugin_name}"):
                    components = list(implementation.function() or ())
                for component in components:
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
        entry = self._entries.get((kind, name)) if isinstance(name, str) else None
        if entry is None:
            names = self.names(kind)
            blocked = ", ".join(entry.module for entry in self.blocked)
            hidden = f" (KORMO_PLUGINS blocks {blocked})" if blocked else ""
            raise KormoError(
                where or f"the {kind} {name!r}",
                f"the name {name!r}",
                f"no installed plugin provides a {kind} of that name; there are: {', '.join(names) or 'none'}{hidden}",
                closest(str(name), names) or "install the plugin that provides it, or name its module in kormo.plugins",
            )
        return entry.component

    def load(self, kind: str, name: str, where: str = "") -> Any:
        """The object that the component's `load` names."""
        component = self.get(kind, name, where)
        with traced(f"load {kind} {name}: {component.load}"):
            return resolve(component.load, f"{kind} {name}")

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
        made = model.model_validate(values)
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
    for key in _truths_as_numbers(values, made):
        raise KormoError(f"{where}.{key}", "a truth value (true, false, yes, no, on, off)",
                         "a number belongs here, and it would be taken for 1 or 0", "give a number")  # fmt: skip
    return made


def _truths_as_numbers(given: Any, made: Any, key: str = "") -> Iterator[str]:
    """Keys with a truth value of which pydantic has made a number."""
    if isinstance(given, bool):
        if isinstance(made, (int, float)) and not isinstance(made, bool):
            yield key
    elif isinstance(given, Mapping):
        inside = made if isinstance(made, Mapping) else getattr(made, "__dict__", {})
        for name in given.keys() & inside.keys():
            yield from _truths_as_numbers(given[name], inside[name], f"{key}.{name}" if key else str(name))
    elif isinstance(given, (list, tuple)) and isinstance(made, (list, tuple)) and len(given) == len(made):
        for place, (one, other) in enumerate(zip(given, made, strict=True)):
            yield from _truths_as_numbers(one, other, f"{key}[{place}]")


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


def _check_version(point: importlib.metadata.EntryPoint, distribution: str, version: str) -> None:
    """Refuses a distribution that asks for another version of kormo-plugins than this one.

    pip warns of this when it installs, and a hook added since would be missed in silence.
    """
    from packaging.requirements import Requirement

    from kormo_plugins import __version__

    for line in (point.dist.requires if point.dist else None) or ():
        wanted = Requirement(line)
        ours = wanted.name.replace("_", "-").lower() == "kormo-plugins"
        applies = ours and (wanted.marker is None or wanted.marker.evaluate({"extra": ""}))
        if applies and not wanted.specifier.contains(__version__, prereleases=True):
            raise KormoError(
                f"plugin {point.value} ({distribution} {version})", f"it needs kormo-plugins{wanted.specifier}",
                f"kormo-plugins {__version__} is installed, and the two were not made for each other",
                f"install a version of kormo-plugins within {wanted.specifier}, or another version of {distribution}",
            )  # fmt: skip


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
