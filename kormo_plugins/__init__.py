"""KORMo for Axolotl: pluggy plugins and YAML recipes that train a bilingual LLM from scratch.

`KormoPlugin`, the one class a recipe names under `plugins:`, is imported on first use only: it pulls in
Axolotl and torch (seconds), which the `kormo` command never needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kormo_plugins.hookspecs import Component, hookimpl

if TYPE_CHECKING:
    from kormo_plugins.bridge.plugin import KormoPlugin

__version__ = "0.1.0"
__all__ = ["Component", "KormoPlugin", "__version__", "hookimpl"]


def __getattr__(name: str) -> object:
    if name == "KormoPlugin":
        from kormo_plugins.bridge.plugin import KormoPlugin

        return KormoPlugin
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
