"""pydantic's search for plugins of its own, done the short way in the `kormo` command.

Before it builds its first validator, pydantic reads every installed distribution with `importlib.metadata` for entry
points in the group `pydantic`. That takes longer than building all validators of a recipe. `search_quickly` puts a
module in the place of pydantic's loader that finds out in milliseconds whether there is such an entry point
(`installed.py`), and gives way to the loader if there is one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from types import ModuleType

from kormo_plugins.plugins.installed import entry_points

LOADER = "pydantic.plugin._loader"
"""The module that pydantic asks, by its function `get_plugins`."""
GROUP = "pydantic"


class _Loader(ModuleType):
    """Stands for pydantic's loader until an installed plugin needs the real one."""

    def get_plugins(self) -> Iterable[object]:
        """The installed plugins of pydantic's, as its own loader gives them."""
        if not entry_points(GROUP):
            return ()
        if sys.modules.get(LOADER) is self:
            del sys.modules[LOADER]
        found: Iterable[object] = importlib.import_module(LOADER).get_plugins()
        return found


def search_quickly() -> None:
    """Replaces pydantic's loader in this process, unless it is already imported."""
    sys.modules.setdefault(LOADER, _Loader(LOADER))
