"""Files that are there whole or not at all: written under a temporary name, flushed to the disk, renamed into place.

A kill or a full disk leaves the file that was there before, and never half of a new one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Calls `write` with a temporary name beside `path`, and gives what it wrote the name `path`.

    For one writer at a time: two would share the temporary name.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        write(temporary)
        by_umask(temporary)
        flush(temporary)
        temporary.replace(path)
    except Exception:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8."""
    replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def by_umask(path: Path) -> None:
    """Gives a file the rights of any new file of this process.

    safetensors writes through a temporary file that only its owner may read, and the rights stay when it is renamed: a
    model on a shared disk could then be used by the one who trained it and by nobody else.
    """
    path.chmod(0o666 & ~_umask())


def _umask() -> int:
    """The process's mask, read from the kernel: `os.umask` can only tell it by changing it, for every thread."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk.

    A rename may reach the disk before what is in the file does; after a loss of power the file would be empty.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
