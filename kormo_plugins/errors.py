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
        what: what was found there.
        why: why that cannot be used.
        fix: what the user can do about it.
    """

    def __init__(self, where: str, what: str, why: str, fix: str) -> None:
        self.where, self.what, self.why, self.fix = where, what, why, fix
        super().__init__(f"{where}: {what}. {why}. {fix}")

    def __reduce__(self) -> tuple[type[KormoError], tuple[str, str, str, str]]:
        return type(self), (self.where, self.what, self.why, self.fix)  # so that it survives a process pool

    def render(self) -> str:
        """The message as printed: four short lines."""
        return "\n".join(
            (f"kormo: {self.where}", f"  found:  {self.what}", f"  why:    {self.why}", f"  do:     {self.fix}")
        )


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
            str(where), f"no space left on the device ({free:.2f} GB free)",
            "what was being written could not be finished; it is kept under a temporary name and is not used",
            "free some space or choose a folder on another disk, and run the same command again: it goes on",
        )  # fmt: skip
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return KormoError(str(error.filename or where), str(error.strerror), "it cannot be written",
                          "change its rights, or choose a folder that is yours")  # fmt: skip
    return error
