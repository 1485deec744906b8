"""Atomic writes: files and folders are complete or absent. The only module that renames.

Data is written under a temporary name (two writers never share one), flushed to the disk, and renamed into place. After
a kill or on a full disk the old content is still there, and never half of the new one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from kormo_plugins.errors import writes, writing

SUFFIX = ".tmp"
"""Suffix of temporary names; after a kill, a file with it belongs to no process and may be removed."""


def temporary(path: Path) -> Path:
    """A name beside `path` that no other writer uses."""
    writes(path.parent)
    return path.with_name(f"{path.name}.{os.urandom(4).hex()}{SUFFIX}")


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a temporary name beside `path`, and renames the result to `path`.

    Raises:
        KormoError: the disk is full or may not be written to.
    """
    unfinished = temporary(path)
    try:
        with writing(path):
            write(unfinished)
            by_umask(unfinished)
            publish(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def publish(unfinished: Path, path: Path) -> None:
    """Flushes a finished file or folder, and renames it to `path`.

    A file replaces an existing one.

    Raises:
        FileExistsError, OSError: it is a folder, and `path` exists.
    """
    flush(unfinished)
    unfinished.replace(path)
    flush(path.parent)  # the new name


def publish_folder(partial: Path, out: Path) -> None:
    """Flushes everything below a finished folder, and renames the folder to `out`.

    An existing folder is moved aside first, since a rename cannot replace one that is not empty, and removed at the
    end; the caller has made sure that it may be. A kill between the two leaves it as `.NAME.replaced`.
    """
    for path in partial.rglob("*"):
        if path.is_file() or path.is_dir():
            flush(path)
    if not out.exists():
        return publish(partial, out)
    aside = out.with_name(f".{out.name}.replaced")
    shutil.rmtree(aside, ignore_errors=True)
    out.rename(aside)
    publish(partial, out)
    shutil.rmtree(aside)


def move(path: Path, target: Path) -> None:
    """Renames a file or folder that is already on the disk, within its folder or into one beside it.

    Raises:
        FileNotFoundError: it is gone: another process was faster.
    """
    path.rename(target)
    flush(target.parent)


def set_aside(path: Path, target: Path) -> Path:
    """Moves something that must be neither used nor lost to `target`, or to the next free name with a number.

    The number does not follow a dash: Axolotl would take it for the step of a checkpoint.
    """
    free, number = target, 1
    while free.exists():
        number += 1
        free = target.with_name(f"{target.name}.{number}")
    move(path, free)
    return free


def link(path: Path, target: Path) -> None:
    """Makes `target` a symbolic link to `path`, replacing what was there."""
    unfinished = temporary(target)
    unfinished.symlink_to(path.resolve())
    unfinished.replace(target)
    flush(target.parent)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file."""
    replace(path, lambda unfinished: unfinished.write_bytes(data))


def by_umask(path: Path) -> None:
    """Gives a file the permissions of any new file of this process.

    safetensors writes through a temporary file that only its owner may read, and a rename keeps the permissions: nobody
    else could read a model on a shared disk.
    """
    path.chmod(0o666 & ~_umask())


def _umask() -> int:
    """The process's mask, read from the kernel: `os.umask` returns it only by changing it, for all threads."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk.

    A rename may reach the disk before the file's content does; after a power failure the file would be empty.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
