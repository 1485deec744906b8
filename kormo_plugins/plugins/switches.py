"""Environment variables that block plugins and trace their calls.

    KORMO_PLUGINS=off                    no installed distribution and no module of a recipe; built-ins only
    KORMO_PLUGINS=my-plugin,other.mod    these are blocked, by distribution or module
    KORMO_TRACE_PLUGINS=1                one line on stderr for each hook call and each component that is loaded

A blocked plugin is not merely absent: a recipe that names it, or one of its components, is refused with the reason.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

OFF = "off"


def blocked_names() -> tuple[str, ...]:
    """The names in `KORMO_PLUGINS`: distributions or modules; `("off",)` when all but the built-ins are blocked."""
    names = (name.strip() for name in os.environ.get("KORMO_PLUGINS", "").split(","))
    return tuple(sorted({name for name in names if name}))


def is_blocked(names: tuple[str, ...], module: str, distribution: str, built_in: bool) -> bool:
    """Whether `names` block the plugin; a distribution's name may be written with - or _."""
    if names == (OFF,):
        return not built_in
    alike = {name.replace("_", "-").lower() for name in names}
    return module in names or (not built_in and distribution.replace("_", "-").lower() in alike)


@contextmanager
def traced(what: str) -> Iterator[None]:
    """Prints `what` and how long it took, if `KORMO_TRACE_PLUGINS` is set."""
    if os.environ.get("KORMO_TRACE_PLUGINS", "0") in ("", "0"):
        yield
        return
    start = time.perf_counter()
    try:
        yield
    finally:
        milliseconds = 1e3 * (time.perf_counter() - start)
        print(f"kormo trace: {milliseconds:9.3f} ms  {what}", file=sys.stderr, flush=True)
