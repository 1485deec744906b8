"""A disk that becomes full: a file system of its own, mounted at a folder, of which only a little is free.

Where this user may not mount one, what stands for it is the largest size of a file (`RLIMIT_FSIZE`), which every system
has and which ends a write in another error.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOMY = 1 << 30
"""Bytes of a disk that has space again; they are taken as they are written."""


class SmallDisk:
    """A tmpfs at `folder`.

    Args:
        folder: empty; the file system is mounted here.
    Raises:
        PermissionError: this user may not mount one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if self._mount(f"size={ROOMY}"):
            raise PermissionError("this user may not mount a file system")

    def leave(self, free: int) -> None:
        """Leaves so many bytes free, in whole blocks."""
        block = os.statvfs(self.folder).f_frsize
        assert not self._mount(f"remount,size={max(block, self.used() + free)}"), "the file system keeps its size"

    def grow(self) -> None:
        """There is space again."""
        self.leave(ROOMY)

    def used(self) -> int:
        """Bytes that are taken."""
        stat = os.statvfs(self.folder)
        return (stat.f_blocks - stat.f_bfree) * stat.f_frsize

    def close(self) -> None:
        """Unmounts it, also while a child that is ending has a file open."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True)

    def _mount(self, options: str) -> int:
        words = ["mount", "-t", "tmpfs", "-o", options, "kormo-test", str(self.folder)]
        return subprocess.run(words, capture_output=True, check=False).returncode


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """A small disk for the length of a block."""
    folder.mkdir(parents=True, exist_ok=True)
    disk = SmallDisk(folder)
    try:
        yield disk
    finally:
        disk.close()


def limit_files(size: int) -> None:
    """No file of this process, and of those that it starts, becomes larger; for a child."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
