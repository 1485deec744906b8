"""Atomic writes: files and folders are complete or absent. The only module that renames.

What is written goes under a temporary name of its own (two writers never share one), is flushed to the disk, and is
renamed into place. A kill or a full disk leaves what was there before, and never half of something new.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kormo_plugins.errors import writes, writing

SUFFIX = ".tmp"
"""Ending of temporary names; a file that has it is nobody's after a kill, and may be removed."""


def temporary(path: Path) -> Path:
    """A name beside `path` that no other writer has."""
    writes(path.parent)
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}{SUFFIX}")


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a temporary name beside `path`, and gives what it wrote the name `path`.

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
    """Flushes a file or folder that is finished, and gives it the name `path`.

    A file replaces the one of that name.

    Raises:
        FileExistsError, OSError: a folder, and something is there.
    """
    flush(unfinished)
    unfinished.replace(path)
    flush(path.parent)  # the new name


def publish_folder(partial: Path, out: Path) -> None:
    """Flushes all that is below a finished folder, and gives it the name `out`.

    What was there steps aside first, as no folder replaces a full one, and is removed at the end; who calls has asked
    whether it may be. A kill between the two leaves it as `.NAME.replaced`.
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


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, under a temporary name beside `out` that becomes `out` at the end of the block.

    Where the block fails, nothing of it is left. `out` is not there, or is empty: who calls has asked.
    """
    partial = temporary(out)
    partial.mkdir(parents=True)
    try:
        yield partial
        publish_folder(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def move(path: Path, target: Path) -> None:
    """Gives a file or folder that is on the disk already another name in its folder, or in one beside it.

    Raises:
        FileNotFoundError: it is gone: another process was faster.
    """
    path.rename(target)
    flush(target.parent)


def set_aside(path: Path, target: Path) -> Path:
    """Moves what must not be used, and must not be lost, to `target` or the next free name with a number.

    Not after a dash, where Axolotl would read the number as a checkpoint's.
    """
    free, number = target, 1
    while free.exists():
        number += 1
        free = target.with_name(f"{target.name}.{number}")
    move(path, free)
    return free


def link(path: Path, target: Path) -> None:
    """A symbolic link at `target` that leads to `path`, in place of what was there."""
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
