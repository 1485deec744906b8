"""The one error a user sees: where, what was found, why it is wrong, what to do.

Everything that a user can cause (a misspelt key, a missing file, a shard that was tampered with) is raised
as a `KormoError` and rendered once, without a traceback, at the outermost door (`cli/`, `bridge.py`).
Anything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

EXIT_BAD_INPUT = 2
"""Exit status for bad input, as in argparse and click."""


class KormoError(Exception):
    """Bad input, told in four parts.

    Args:
        where: file and key, or the artifact (`recipes/pretrain.yml: kormo.global_batch`).
        found: what was found there.
        why: why that cannot be used.
        do: what the user can do about it.
    """

    def __init__(self, *, where: str, found: str, why: str, do: str) -> None:
        self.where, self.found, self.why, self.do = where, found, why, do
        super().__init__(f"{where}: {found}. {why}. {do}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled by its parts, so that it survives a process pool."""
        return _again, (type(self), self.where, self.found, self.why, self.do)

    def render(self) -> str:
        """The message as printed: four short lines."""
        return "\n".join(
            (f"kormo: {self.where}", f"  found:  {self.found}", f"  why:    {self.why}", f"  do:     {self.do}")
        )


def _again(kind: type[KormoError], where: str, found: str, why: str, do: str) -> KormoError:
    return kind(where=where, found=found, why=why, do=do)


def closest(name: str, known: Iterable[str], default: str = "") -> str:
    """`Did you mean 'learning_rate'?`, or `default` when nothing is near.

    A name matches by its last dotted part too, so that `kormo.globl_batch` finds `global_batch`.
    """
    names = sorted(set(known))
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6) or difflib.get_close_matches(
        name.rsplit(".", 1)[-1], names, n=1, cutoff=0.6
    )
    return f"Did you mean {found[0]!r}?" if found else default


def disk_error(error: OSError, where: Path) -> Exception:
    """A full disk or a missing right as a KormoError; any other OSError as it is."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(where).free / 1e9
        return KormoError(
            where=str(where),
            found=f"no space left on the device ({free:.2f} GB free)",
            why="what was being written could not be finished; it is kept under a temporary name and is not used",
            do="free some space or choose a folder on another disk, and run the same command again: it goes on",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return KormoError(
            where=str(error.filename or where),
            found=str(error.strerror),
            why="it cannot be written",
            do="change its rights, or choose a folder that is yours",
        )
    return error
