"""KORMo for Axolotl: pluggy plugins and YAML recipes that train a bilingual LLM from scratch.

What is named here is imported on first use only. `KormoPlugin`, the one class a recipe names under `plugins:`, pulls in
Axolotl and torch (seconds), which the `kormo` command never needs; the contract of plugins is not needed for its help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kormo_plugins.bridge.plugin import KormoPlugin
    from kormo_plugins.hookspecs import Component, hookimpl

__version__ = "0.1.0"
__all__ = ["Component", "KormoPlugin", "__version__", "hookimpl"]


def __getattr__(name: str) -> object:
    if name == "KormoPlugin":
        from kormo_plugins.bridge.plugin import KormoPlugin

        return KormoPlugin
    if name in ("Component", "hookimpl"):
        from kormo_plugins import hookspecs

        value: object = getattr(hookspecs, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
