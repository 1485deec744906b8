"""Plugins of Axolotl's by name: ours, those that it ships, and others, looked up before they are imported."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError, closest, in_words
from kormo_plugins.plugins.lookup import find, refuse_foreign, source
from kormo_plugins.training.compat import variants

OURS = ("kormo_plugins.KormoPlugin",)
"""Our own Axolotl plugin. The `kormo:` block is checked by its own models, not through Axolotl."""

SHIPPED = "axolotl.integrations"
EVERY = "*"
"""Means all plugins that Axolotl ships and that can be imported here."""


def is_ours(plugin: str) -> bool:
    """Whether a name under `plugins` is one of the paths of our Axolotl plugin."""
    package, _, name = variants.plugin_name(plugin).rpartition(".")
    return package.partition(".")[0] == OURS[0].partition(".")[0] and name == OURS[0].rpartition(".")[2]


def is_registered(plugins: Sequence[str]) -> bool:
    """Whether Axolotl registers our plugin for a recipe that lists `plugins`: by name, or by our entry point."""
    return any(is_ours(name) for name in plugins) or OURS[0] in variants.entry_point_plugins()


def arguments_if_any(plugin: str) -> object:
    """The argument model of a plugin that the recipe does not name; None if its dependencies are not installed."""
    try:
        return arguments(plugin)
    except KormoError:
        return None


def arguments(plugin: str) -> object:
    """The argument model of an Axolotl plugin, or None if it has none."""
    try:
        named = plugin_class(plugin)().get_input_args()
        if named is None:
            return None
        module, _, attribute = named.rpartition(".")
        return getattr(importlib.import_module(module), attribute)
    except KormoError:
        raise
    except Exception as error:  # any failure of the import stops the run
        raise KormoError(
            where=f"plugins: {plugin}",
            found=in_words(error),
            why="it cannot be imported; Axolotl would print this and train without it",
            do="install what it needs, or remove it from `plugins`",
        ) from error


def plugin_class(plugin: str) -> Any:
    """The class of an Axolotl plugin. Axolotl calls any object of that name (even `os.system`); this checks it first.

    Raises:
        KormoError: it is not a subclass of Axolotl's plugin class.
    """
    from axolotl.integrations.base import BasePlugin

    module, _, name = plugin.rpartition(".")
    plugin_type = getattr(importlib.import_module(module), name)
    if not (isinstance(plugin_type, type) and issubclass(plugin_type, BasePlugin)):
        raise KormoError(
            where=f"plugins: {plugin}",
            found=f"{name}, which is not a plugin class",
            why="a plugin is a subclass of axolotl.integrations.base.BasePlugin, and Axolotl would call this as one",
            do="name a plugin's class, or remove it from `plugins`",
        )
    return plugin_type


def look_up(plugin: str) -> None:
    """Refuses a name that cannot be a plugin, from the source of its module: importing takes seconds, and runs it."""
    where = f"plugins: {plugin}"
    package, _, name = plugin.rpartition(".")
    if not package:
        raise KormoError(
            where=where,
            found=repr(plugin),
            why="a plugin is named by its module and its class",
            do="write package.module.Class",
        )
    if not package.startswith(SHIPPED + "."):
        return _look_up_foreign(package, name, where)
    known, texts = shipped()
    if not texts:
        return
    folder_name, _, module = package.removeprefix(SHIPPED + ".").partition(".")
    if module or re.search(rf"\b{re.escape(name)}\b", texts.get(folder_name, "")):
        return  # a submodule, or a class that is at least mentioned: the import decides
    raise KormoError(
        where=where,
        found=f"the class {name} of {package}",
        why="Axolotl ships no such plugin; it would print an error and train without it",
        do=closest(plugin, known) or f"the plugins are: {', '.join(sorted(known))}",
    )


def _look_up_foreign(module: str, name: str, where: str) -> None:
    """Refuses a module that cannot contain a plugin, or that was not allowed."""
    text = source(module)
    if find(module) is None:
        return  # the import will say so
    if (
        module.split(".")[0] in sys.stdlib_module_names
        or text is None
        or not re.search(rf"\b{re.escape(name)}\b", text)
    ):
        raise KormoError(
            where=where,
            found=f"the name {name} of the module {module}",
            why="its source defines no class of that name, so it is not a plugin, and Axolotl would call it as one",
            do="name a plugin's class, or remove it from `plugins`",
        )
    refuse_foreign(module, where)


def shipped() -> tuple[list[str], dict[str, str]]:
    """The plugins that Axolotl ships, and the source of each folder's `__init__.py`, without importing them."""
    spec = importlib.util.find_spec("axolotl")
    folder = Path(next(iter((spec and spec.submodule_search_locations) or ("",)))) / "integrations"
    texts = {file.parent.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*/__init__.py"))}
    names: list[str] = []
    for name, text in texts.items():
        classes = re.findall(r"^class (\w+Plugin)\b|\bimport (\w+Plugin)$", text, re.M)
        names += [f"{SHIPPED}.{name}.{defined or imported}" for defined, imported in classes]
    return [plugin for plugin in names if not plugin.endswith(".BasePlugin")], texts
