"""numba's `njit`, with the compiled code kept where it is found again.

numba keeps it beside the source; where that cannot be written (a container, another user's environment) in the home
folder; where there is none either, it refuses to compile. Here it is kept under the first of these that can be
written, in a folder that is named after the versions of this package, numba and Python and after the processor:

1. `NUMBA_CACHE_DIR`, numba's own variable,
2. `KORMO_CACHE`,
3. `kormo` in `XDG_CACHE_HOME`, or in `~/.cache`,
4. a folder of the user's own in the system's folder for temporary files.

Where none can, each process compiles for itself. What numba writes there it reads with pickle, so a folder that other
users can write to is not used.
"""

from __future__ import annotations

import gc
import os
import platform
import stat
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from kormo_plugins import __version__

VARIABLE = "KORMO_CACHE"
_SETTINGS: Any = numba.config  # its attributes are made when numba is imported
_Function = TypeVar("_Function", bound=Callable[..., Any])


def njit(**options: Any) -> Callable[[_Function], _Function]:
    """`numba.njit` without the interpreter's lock, its code kept in `folder()`; `options` are numba's."""

    def decorate(function: _Function) -> _Function:
        """The compiled function; the plain one where NUMBA_DISABLE_JIT is set."""
        kept, before = folder(), _SETTINGS.CACHE_DIR
        settings = {"cache": kept is not None, "nogil": True, "no_cfunc_wrapper": True, **options}
        # numba looks at the setting while it decorates; other packages' functions keep to their own.
        _SETTINGS.CACHE_DIR = str(kept or before)
        try:
            compiled: Any = numba.njit(**settings)(function)
        finally:
            _SETTINGS.CACHE_DIR = before
        # Two shortcuts over methods of numba's that it does not promise; NUMBA_DISABLE_JIT leaves a plain function.
        for name, shortcut in (("get_call_template", _for_any_number), ("compile", _undisturbed)):
            if hasattr(compiled, name):
                setattr(compiled, name, shortcut(getattr(compiled, name)))
        return cast("_Function", compiled)

    return decorate


def _for_any_number(template: _Function) -> _Function:
    """`Dispatcher.get_call_template` that asks for one compilation where numba would ask for two.

    While the types of a caller are found out, a variable that begins as `0` is the literal 0 until its loop is seen;
    numba compiles what is called with it for that literal, and throws this away when it knows better.
    """
    from numba.core.types import unliteral

    def plain(args: Any, kws: Mapping[str, Any]) -> Any:
        """Types of the arguments, literals among them taken as any value of their type -> the compiled function."""
        return template(tuple(map(unliteral, args)), {name: unliteral(kind) for name, kind in kws.items()})

    return cast("_Function", plain)


def _undisturbed(compile_: _Function) -> _Function:
    """`Dispatcher.compile` without the collector of cycles, which takes an eighth of the time and finds next to none:
    what a compiler makes lives until it has compiled."""

    def plain(signature: Any) -> Any:
        """Compiles for a signature with the garbage collector off, and turns it on again."""
        if not gc.isenabled():  # within the compilation of what calls it, or the user's wish
            return compile_(signature)
        gc.disable()
        try:
            return compile_(signature)
        finally:
            gc.enable()

    return cast("_Function", plain)


@lru_cache(maxsize=1)
def folder() -> Path | None:
    """Where compiled code is kept, made when it is not there; None where there is no such place."""
    from llvmlite.binding import get_host_cpu_name

    versions = f"{__version__}-numba{numba.__version__}-py{platform.python_version()}-{get_host_cpu_name()}"
    return next((place for base in _bases() if _ours(place := base / "kernels" / versions)), None)


def holds(source: Path) -> bool:
    """Whether compiled code of modules in the folder `source` is kept; it may be that of an older text of them."""
    from numba.core.caching import UserProvidedCacheLocator

    place = folder()
    if place is None:
        return False
    of = UserProvidedCacheLocator.get_suitable_cache_subpath(str(source / "any.py"))
    return any((place / of).glob("*.nbi"))


def _bases() -> list[Path]:
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kormo"
    shared = Path(tempfile.gettempdir()) / f"kormo-{os.getuid()}"
    named = [Path(os.environ[name]) for name in ("NUMBA_CACHE_DIR", VARIABLE) if os.environ.get(name)]
    return [*named, home, shared]


def _ours(place: Path) -> bool:
    """Whether `place` can be written, and by nobody but us; it is made if it is not there."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
        found = place.stat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
