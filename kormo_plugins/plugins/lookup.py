"""Locates a module that a recipe names without importing anything, and decides whether it may be imported.

A recipe may come from a stranger, and importing a module runs it. So the module's file is inspected first:

- A module whose source mentions no hook is no plugin, and is not imported.
- It may be in an installed package, in a folder on `PYTHONPATH`, or anywhere else that the user put on Python's path.
  The current folder, which `python -m` adds by itself, does not count: a file that came with the recipe would run. It
  is searched all the same, because launchers start the ranks of a training with `python -m`.
  `KORMO_ALLOW_PLUGINS=my_module,…` allows modules there by name.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.hookspecs import KINDS

ALLOW = "KORMO_ALLOW_PLUGINS"
_HOOKS = r"\bhookimpl\b|\b(" + "|".join(KINDS.values()) + r")\b"
_NAME = r"[^\W\d]\w*(\.[^\W\d]\w*)*"


def find(module: str) -> ModuleSpec | None:
    """The spec of a module, without importing its packages; None if there is no such module."""
    if not re.fullmatch(_NAME, module):
        return None
    names = module.split(".")
    spec = _spec(names[0], None)
    for end in range(2, len(names) + 1):
        places = spec.submodule_search_locations if spec is not None else None
        if places is None:
            return None
        spec = _spec(".".join(names[:end]), list(places))
    return spec


def _spec(name: str, places: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, places)
        if spec is not None:
            return spec
    return PathFinder.find_spec(name, [str(Path.cwd())]) if places is None else None


def source(module: str) -> str | None:
    """The source of a module; None if it is not found or has no Python source (built-in, compiled)."""
    spec = find(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        return Path(spec.origin).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def refuse_foreign(module: str, where: str) -> None:
    """Refuses a module in the current folder that was not allowed.

    Raises:
        KormoError: the module is in the current folder, and `KORMO_ALLOW_PLUGINS` does not name it.
    """
    root = _root(module)
    if root is None or allowed(module) or not _only_here(root):
        return
    raise KormoError(
        where=where,
        found=f"the module {module} in the folder {root}",
        why="it is in the current folder, where it may have come with the recipe, and importing it would run its code",
        do=f"if it is yours, set {ALLOW}={module}, or put its folder on PYTHONPATH",
    )


def refuse_without_hooks(module: str, where: str, imported: bool = False) -> None:
    """Refuses a module that is no plugin, before it is imported. A module that is not found is left to the import,
    which reports it; one that a program has put into `sys.modules` has no source, and importing it runs nothing.

    Args:
        imported: whether it was imported, and implements no hook.
    Raises:
        KormoError: its source mentions no hook, or it implements none.
    """
    spec = find(module)
    text = source(module) if spec is not None else None
    if not imported and (spec is None or (text is not None and re.search(_HOOKS, text))):
        return
    raise KormoError(
        where=where,
        found=f"the module {module}",
        why="it implements no hook of kormo-plugins, so importing it would only run its code",
        do="name a module with functions marked @hookimpl (`kormo plugins hooks` shows the contract), or remove it",
    )


def allowed(module: str) -> bool:
    """Whether the user allowed a module by name."""
    return module in {name.strip() for name in os.environ.get(ALLOW, "").split(",") if name.strip()}


def _root(module: str) -> Path | None:
    """The entry of Python's path where a module was found; None if it has no file."""
    spec = find(module.split(".")[0])
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve().parent
    return Path(spec.origin).resolve().parent if spec.origin and spec.has_location else None


def _only_here(root: Path) -> bool:
    """Whether a folder is on Python's path only because Python added the current folder itself."""
    current_folder = Path.cwd().resolve()
    if root != current_folder:
        return False
    named = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    by_itself = 1 if sys.path and Path(sys.path[0] or ".").resolve() == current_folder else 0
    others = [entry for entry in sys.path[by_itself:] if entry]
    return not any(Path(entry).resolve() == current_folder for entry in (*named, *others))
