"""The one error a user sees: where, what was found, why it is wrong, what to do.

Everything that a user can cause (a misspelt key, a missing file, a shard that was tampered with) is raised
as a `KormoError` and rendered once, without a traceback, at the outermost door (`cli/`, `bridge.py`).
Anything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import errno
import re
import shutil
import socket
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
        """The message as printed: four short lines, harmless in a terminal whatever names are in it."""
        return printable(
            "\n".join(
                (f"kormo: {self.where}", f"  found:  {self.found}", f"  why:    {self.why}", f"  do:     {self.do}")
            )
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
    """What the system says of a file or disk as a KormoError: full, no right, no file handle, a name that is too long.

    Anything else comes back as it is: whoever caught it may know better, and the outermost door names the rest
    (`system_error`).
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or (error.errno is None and _SHORT_WRITE.search(str(error))):
        return KormoError(
            where=str(where),
            found=f"no space left on the device ({_free_bytes(where) / 1e9:.2f} GB free)",
            why="what was being written could not be finished; it is kept under a temporary name and is not used",
            do="free some space or choose a folder on another disk, and run the same command again: it goes on",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return KormoError(
            where=str(error.filename or where),
            found=str(error.strerror),
            why="it cannot be written" if error.errno == errno.EROFS else "this user may not do that",
            do="change its rights, or choose a folder that is yours",
        )
    if error.errno in _TOLD:
        return KormoError(
            where=str(error.filename or where),
            found=str(error.strerror),
            why="the system refuses it",
            do=_TOLD[error.errno],
        )
    return error


_SHORT_WRITE = re.compile(r"^\d+ requested and \d+ written$")
"""What numpy says of a full disk, without a number of the system's."""

_TOLD = {
    errno.EMFILE: "raise the limit of open files (`ulimit -n`), or use fewer workers",
    errno.ENFILE: "close other programs: all file handles of the machine are in use",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "remove the link that leads to itself",
    errno.EIO: "the disk or its network does not answer as it should: check it, then run the same command again",
    errno.ESTALE: "the file server has lost it: mount the disk again, then run the same command again",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
}
"""Error of the system -> what to do."""


def system_error(error: OSError, where: str) -> KormoError:
    """Any error of the system as a message; for the outermost door.

    Args:
        where: the command, for errors that name no file.
    """
    named = disk_error(error, Path(error.filename if isinstance(error.filename, str) else "."))
    if isinstance(named, KormoError):
        return named
    if isinstance(error, socket.gaierror):
        return KormoError(
            where=where,
            found=str(error.strerror or error),
            why="the name of a host cannot be resolved",
            do="check the address and the network",
        )
    return KormoError(
        where=str(error.filename or where),
        found=str(error.strerror or error) or type(error).__name__,
        why="the system refuses it",
        do="check the path and the disk; with --traceback the place in the code is shown",
    )


def _free_bytes(where: Path) -> int:
    for folder in (where, *where.absolute().parents):
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return 0


def printable(text: str) -> str:
    """Text whose control characters cannot move a terminal's cursor, colour it, or turn its direction.

    C0 and C1 controls (but tab and line feed), the bidirectional controls of Unicode (UAX 9) and lone surrogates become
    escapes that can be read.
    """
    return _CONTROLS.sub(lambda found: _escape(found.group()), text)


_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
