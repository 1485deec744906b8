"""The message of an internal error: that it is a bug of kormo-plugins, and where to report it.

The traceback follows, since a report needs it.
"""

from __future__ import annotations

import platform

PACKAGE = "kormo-plugins"
SHOWN = ("axolotl", "torch", "transformers")
PLACES = ("issues", "bug tracker", "repository", "source")
"""Labels of the bug tracker's URL in the package metadata, in order of preference."""
ELSEWHERE = "the issues of the repository that you have kormo-plugins from"


def report_this() -> str:
    """The line above the traceback of an internal error."""
    return (
        f"kormo: this is a bug of kormo-plugins. Please report the lines below to {where_to_report()}, "
        f"with these versions: {', '.join(_versions())}"
    )


def where_to_report() -> str:
    """The URL of the bug tracker, from the package metadata."""
    import importlib.metadata

    try:
        named = importlib.metadata.metadata(PACKAGE).get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        named = []
    urls = {name.strip().lower(): url.strip() for name, _, url in (one.partition(",") for one in named)}
    return next((urls[place] for place in PLACES if place in urls), ELSEWHERE)


def _versions() -> list[str]:
    lines = [f"{PACKAGE} {_version(PACKAGE)}", f"python {platform.python_version()}"]
    return [*lines, *(f"{name} {_version(name)}" for name in SHOWN)]


def _version(name: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
