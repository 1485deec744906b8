"""numba's `njit`, with a cache of the compiled code that works in containers and shared environments.

numba caches beside the source, or in the home folder where that is read-only (a container, another user's environment),
and refuses to compile where there is neither. Here the cache is in the first of these that can be written, in a folder
named after the versions of this package, numba and Python and after the processor:

1. `NUMBA_CACHE_DIR`, numba's own variable,
2. `KORMO_CACHE`,
3. `kormo` in `XDG_CACHE_HOME`, or in `~/.cache`,
4. a folder of the user's own in the system's folder for temporary files.

Where none can be written, each process compiles for itself. numba reads its cache with pickle, so a folder that other
users can write to is not used. A function that several processes need at once is compiled by one of them, and the
others read it from the cache.
"""

from __future__ import annotations

import gc
import os
import platform
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import xxhash
from numba.core import entrypoints

from kormo_plugins import __version__
from kormo_plugins.store.compiled.cache import alone, guard

VARIABLE = "KORMO_CACHE"
_SETTINGS: Any = numba.config  # its attributes are created when numba is imported
_Function = TypeVar("_Function", bound=Callable[..., object])
_load_extensions: Callable[[], None] = entrypoints.init_all
_without_extensions = threading.local()


def njit(**options: Any) -> Callable[[_Function], _Function]:
    """`numba.njit` that releases the GIL and caches in `folder()`; `options` are numba's."""

    def decorate(function: _Function) -> _Function:
        """The compiled function; the plain one where NUMBA_DISABLE_JIT is set."""
        kept, before = _place_of(function), _SETTINGS.CACHE_DIR
        settings = {"cache": kept is not None, "nogil": True, "no_cfunc_wrapper": True, **options}
        # numba reads the setting while it decorates; the functions of other packages keep theirs.
        _SETTINGS.CACHE_DIR = str(kept or before)
        try:
            compiled: object = numba.njit(**settings)(function)
        finally:
            _SETTINGS.CACHE_DIR = before
        # All override undocumented methods of numba; under NUMBA_DISABLE_JIT the function is plain and has none.
        shortcuts = {
            "get_call_template": _for_any_number,
            "compile": lambda compile_: _undisturbed(compile_, kept and kept / "locks" / _name(function)),
            "_compilation_chain_init_hook": lambda load: _nothing_to_load,
        }
        for name, shortcut in shortcuts.items():
            if hasattr(compiled, name):
                setattr(compiled, name, shortcut(getattr(compiled, name)))
        if kept is not None and hasattr(compiled, "_cache"):
            guard(compiled._cache, _name(function), kept)
        return cast("_Function", compiled)

    return decorate


def _place_of(function: Callable[..., object]) -> Path | None:
    """The cache folder of a function. numba compiles a function again when its own file changes; one that calls
    compiled functions of other modules is kept in a folder named after the contents of those."""
    kept, modules = folder(), sorted(_called_modules(function))
    if kept is None or not modules:
        return kept
    digest = xxhash.xxh3_64()
    for module in modules:
        digest.update(Path(str(sys.modules[module].__file__)).read_bytes())
    return kept / digest.hexdigest()


def _called_modules(function: Callable[..., object]) -> set[str]:
    """Names of the other modules that compiled functions are called from, also by those that it calls."""
    found: set[str] = set()
    for name in function.__code__.co_names:
        called = getattr(function.__globals__.get(name), "py_func", None)
        if called is not None and called is not function:
            found |= {called.__module__} | _called_modules(called)
    return found - {function.__module__}


def _for_any_number(template: _Function) -> _Function:
    """`Dispatcher.get_call_template` that needs one compilation where numba needs two.

    During type inference of a caller, a variable that starts as `0` is the literal 0 until its loop is reached; numba
    compiles the callee for that literal, and discards the result once the type is known.
    """
    from numba.core.types import unliteral

    def plain(args: Any, kws: Mapping[str, object]) -> object:
        """The compiled function for argument types, with literal types replaced by their general ones."""
        return template(tuple(map(unliteral, args)), {name: unliteral(kind) for name, kind in kws.items()})

    return cast("_Function", plain)


def _name(function: Callable[..., object]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _undisturbed(compile_: _Function, lock: Path | None) -> _Function:
    """`Dispatcher.compile` without numba's extensions, and with the cyclic garbage collector off. It would take an
    eighth of the time and find next to nothing, since what a compiler allocates lives until it is done.

    Args:
        lock: file that is locked meanwhile; None: there is no cache, so that waiting for others gains nothing.
    """

    def plain(signature: object) -> object:
        """Compiles for a signature with the garbage collector off, and turns it on again."""
        with _no_extensions(), alone(lock):
            if not gc.isenabled():  # a nested compilation, or turned off by the user
                return compile_(signature)
            gc.disable()
            try:
                return compile_(signature)
            finally:
                gc.enable()

    return cast("_Function", plain)


@contextmanager
def _no_extensions() -> Iterator[None]:
    """In this thread, numba loads no extensions of other packages. It would import them all before the first function
    (awkward, which gigatoken depends on: 0.2 s and 20 MB), and no kernel here takes their types. A function of another
    package still loads them."""
    before = getattr(_without_extensions, "on", False)
    _without_extensions.on = True
    try:
        yield
    finally:
        _without_extensions.on = before


def _extensions_if_wanted() -> None:
    """`numba.core.entrypoints.init_all`, except within `_no_extensions`."""
    if not getattr(_without_extensions, "on", False):
        _load_extensions()


def _nothing_to_load() -> None:
    """`Dispatcher._compilation_chain_init_hook` of our functions, which use no extension."""


entrypoints.init_all = _extensions_if_wanted


@lru_cache(maxsize=1)
def folder() -> Path | None:
    """The cache folder, created if it does not exist; None where none can be written."""
    from llvmlite.binding import get_host_cpu_name

    versions = f"{__version__}-numba{numba.__version__}-py{platform.python_version()}-{get_host_cpu_name()}"
    return next((place for base in _bases() if (place := _ours(base, versions)) is not None), None)


def holds(source: Path) -> bool:
    """Whether compiled code of modules in the folder `source` is cached, possibly of an older version of them."""
    from numba.core.caching import UserProvidedCacheLocator

    place = folder()
    if place is None:
        return False
    folder_name = UserProvidedCacheLocator.get_suitable_cache_subpath(str(source / "any.py"))
    return any((place / folder_name).glob("*.nbi"))


def _bases() -> list[Path]:
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kormo"
    shared = Path(tempfile.gettempdir()) / f"kormo-{os.getuid()}"
    named = [Path(os.environ[name]) for name in ("NUMBA_CACHE_DIR", VARIABLE) if os.environ.get(name)]
    return [*named, home, shared]


def _ours(base: Path, versions: str) -> Path | None:
    """The folder for these versions in `base`, created if it does not exist; None where it cannot be written, or where
    another user could replace it or what is in it."""
    kernels = base / "kernels"
    place = kernels / versions
    try:
        base.mkdir(parents=True, exist_ok=True)
        for one in (kernels, place):
            one.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
        kept = [one.stat() for one in (kernels, place)]
        open_to_all = base.stat().st_mode
    except OSError:
        return None
    if open_to_all & stat.S_IWOTH and not open_to_all & stat.S_ISVTX:
        return None
    ours = all(one.st_uid == os.getuid() and not one.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for one in kept)
    return place if ours else None


@njit()
def _nothing() -> int:
    return 0


def warm() -> None:
    """Makes numba load what its first compiled function needs (its tables, scipy's BLAS), half a second of work, so
    that processes forked afterwards have it."""
    _nothing()
