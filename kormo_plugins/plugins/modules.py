"""Imports the modules of plugins, resolves the names in them, and finds the distribution of each."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from kormo_plugins import __version__
from kormo_plugins.errors import KormoError, closest, in_words
from kormo_plugins.plugins.installed import entry_points, version
from kormo_plugins.plugins.parameters import checked as checked

if TYPE_CHECKING:
    import importlib.metadata


def resolve(target: object, what: str) -> object:
    """The object named by `"package.module:attribute"`; anything but a string is already the object."""
    if not isinstance(target, str):
        return target
    module_name, _, attribute = target.partition(":")
    module = import_module(module_name, what)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise KormoError(
            where=what,
            found=f"{target!r}",
            why=f"the module {module_name} has no attribute {attribute!r}",
            do=closest(attribute, dir(module)) or "correct the plugin",
        ) from None


def installed_points(group: str) -> list[importlib.metadata.EntryPoint]:
    """The entry points of installed distributions in a group, sorted by what they name."""
    if not entry_points(group):
        return []
    import importlib.metadata

    return sorted(importlib.metadata.entry_points(group=group), key=lambda point: point.value)


def check_version(point: importlib.metadata.EntryPoint, distribution: str, given: str) -> None:
    """Refuses a distribution that requires another version of kormo-plugins.

    pip only warns of this at installation, and a hook that this version lacks would silently never be called.
    """
    from packaging.requirements import Requirement

    for line in (point.dist.requires if point.dist else None) or ():
        wanted = Requirement(line)
        ours = wanted.name.replace("_", "-").lower() == "kormo-plugins"
        applies = ours and (wanted.marker is None or wanted.marker.evaluate({"extra": ""}))
        if applies and not wanted.specifier.contains(__version__, prereleases=True):
            raise KormoError(
                where=f"plugin {point.value} ({distribution} {given})",
                found=f"it needs kormo-plugins{wanted.specifier}",
                why=f"kormo-plugins {__version__} is installed, and the two are not compatible",
                do=f"install a version of kormo-plugins within {wanted.specifier}, or another {distribution}",
            )


def import_module(module: str, who: str) -> ModuleType:
    """Imports a plugin's module.

    Args:
        module: dotted name.
        who: what named it (a recipe, an entry point), for the message.
    Raises:
        KormoError: whatever the module raised, `SystemExit` included.
    """
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # any failure of the import stops the run
        raise KormoError(
            where=f"plugin {module} (named by {who})",
            found=in_words(error),
            why="it cannot be imported, and a run without it would be a different run",
            do="install what it needs, or remove its name from the recipe (KORMO_PLUGINS=NAME blocks an installed "
            "plugin)",
        ) from error


@lru_cache(maxsize=1)
def _packages() -> dict[str, list[str]]:
    import importlib.metadata

    return dict(importlib.metadata.packages_distributions())


def distribution_of(module: str) -> tuple[str, str]:
    """Name and version of the installed distribution that a module belongs to.

    A module that is in none, such as a file of the user's, is `("the module NAME", "?")`."""
    top = module.split(".")[0]
    if top == "kormo_plugins":
        return "kormo-plugins", __version__
    names: Iterable[str] = _packages().get(top, ())
    for name in names:
        return name, version(name) or "?"
    return f"the module {top}", "?"
