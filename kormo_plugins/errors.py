"""The errors that a user sees: where, what was found, why it is wrong, what to do.

Everything that a user can cause (a misspelt key, a missing file, a shard that was tampered with) is raised
as a `KormoError` and rendered once, without a traceback, at the outermost door (`cli/`, `bridge/guard.py`).
Anything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kormo_plugins.wording.exceptions import exception_in_words, shortened, type_in_words, value_in_words
from kormo_plugins.wording.harmless import BLANK, printable, redact
from kormo_plugins.wording.refusals import refusal_numbers

__all__ = [
    "BLANK",
    "EXIT_BAD_INPUT",
    "Faults",
    "KormoError",
    "KormoErrors",
    "Notice",
    "closest",
    "disk_error",
    "disk_error_in",
    "each",
    "full_disk",
    "in_words",
    "moved",
    "printable",
    "redact",
    "system_error",
    "type_in_words",
    "value_in_words",
    "writes",
    "writing",
]

EXIT_BAD_INPUT = 2
"""Exit status for bad input, as in argparse and click."""


class KormoError(Exception):
    """Bad input, told in four parts; keys and passwords in them are blanked.

    Args:
        where: file and key, or the artifact (`recipes/pretrain.yml: kormo.global_batch`).
        found: what was found there.
        why: why that cannot be used.
        do: what the user can do about it.
    """

    def __init__(self, *, where: str, found: str, why: str, do: str) -> None:
        where, found, why, do = redact(where), redact(found), redact(why), redact(do)
        self.where, self.found, self.why, self.do = where, found, why, do
        super().__init__(f"{where}: {found}. {why}. {do}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled by its parts, so that it survives a process pool."""
        return _again, (type(self), self.where, self.found, self.why, self.do)

    def render(self) -> str:
        """The message as printed: four short lines, harmless in a terminal whatever names are in it."""
        return _four_lines("kormo: ", self.where, self.found, self.why, self.do)


def _four_lines(start: str, where: str, found: str, why: str, do: str) -> str:
    return printable("\n".join((f"{start}{where}", f"  found:  {found}", f"  why:    {why}", f"  do:     {do}")))


def _again(kind: type[KormoError], where: str, found: str, why: str, do: str) -> KormoError:
    return kind(where=where, found=found, why=why, do=do)


@dataclass(frozen=True, slots=True)
class Notice:
    """What is allowed and probably not meant, in the same four parts as an error."""

    where: str
    found: str
    why: str
    do: str

    def render(self) -> str:
        """The message as printed."""
        return _four_lines("kormo: warning: ", self.where, self.found, self.why, self.do)


class KormoErrors(KormoError):
    """Several faults of one input, sorted by place, to be mended in one go.

    `where`, `found`, `why` and `do` are those of the first, so that it can be handled as one error.

    Args:
        faults: at least two errors; errors that hold several are taken apart, and repeated ones left out.
    """

    def __init__(self, faults: Iterable[KormoError]) -> None:
        self.faults: tuple[KormoError, ...] = tuple(sorted(_single(faults), key=_place))
        first = self.faults[0]
        super().__init__(where=first.where, found=first.found, why=first.why, do=first.do)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.faults,)

    def render(self) -> str:
        """All messages, and how many they are."""
        return "\n".join([*(fault.render() for fault in self.faults), f"kormo: {len(self.faults)} faults"])


def each(error: KormoError) -> tuple[KormoError, ...]:
    """The errors that an error is made of: those of `KormoErrors`, or itself."""
    return error.faults if isinstance(error, KormoErrors) else (error,)


def moved(error: KormoError, place: Callable[[str], str]) -> KormoError:
    """The error, and each of several, with another place: `place` makes it of the one that was said."""
    if isinstance(error, KormoErrors):
        return KormoErrors(moved(fault, place) for fault in error.faults)
    return _again(type(error), place(error.where), error.found, error.why, error.do)


class Faults:
    """Collects errors, so that all that is wrong with an input is told at once.

    faults = Faults()
    with faults.catch():
        check(this)
    with faults.catch():
        check(that)
    faults.raise_any()
    """

    def __init__(self, found: Iterable[KormoError] = ()) -> None:
        self._found: list[KormoError] = list(found)

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self) -> Iterator[KormoError]:
        return iter(_single(self._found))

    def add(self, *errors: KormoError) -> None:
        """Remembers errors."""
        self._found.extend(errors)

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Remembers a KormoError that is raised inside, and goes on behind."""
        try:
            yield
        except KormoError as error:
            self._found.append(error)

    def raise_any(self) -> None:
        """Raises what was found: one error as it is, several as `KormoErrors`; nothing for none."""
        errors = _single(self._found)
        if len(errors) == 1:
            raise errors[0] from errors[0].__cause__
        if errors:
            raise KormoErrors(errors)


def _single(errors: Iterable[KormoError]) -> list[KormoError]:
    """Errors that each say one thing, none twice."""
    flat = (part for error in errors for part in (error.faults if isinstance(error, KormoErrors) else (error,)))
    return list({(error.where, error.found, error.why): error for error in flat}.values())


def _place(error: KormoError) -> list[tuple[bool, int, str]]:
    """A sort key by file and key in which `line 9` comes before `line 10`."""
    parts = re.split(r"(\d+)", error.where)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def closest(name: str, known: Iterable[str], default: str = "") -> str:
    """`Did you mean 'learning_rate'?`, or `default` when nothing is near.

    A name matches by its last dotted part too, so that `kormo.globl_batch` finds `global_batch`.
    """
    names = sorted(set(known) - {name})
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.6) or difflib.get_close_matches(
        name.rsplit(".", 1)[-1], names, n=1, cutoff=0.6
    )
    return f"Did you mean {matches[0]!r}?" if matches else default


def disk_error(error: OSError, where: Path) -> Exception:
    """What the system says of a file or disk as a KormoError: full, no right, no file handle, a name that is too long.

    Anything else comes back as it is: whoever caught it may know better, and the outermost door names the rest
    (`system_error`).

    Args:
        where: the file that was written, or its folder.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or (error.errno is None and _SHORT_WRITE.search(str(error))):
        return full_disk(where, quota=error.errno == errno.EDQUOT)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return KormoError(
            where=str(error.filename or where),
            found=str(error.strerror),
            why="it cannot be written" if error.errno == errno.EROFS else "this user has no permission",
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


@contextmanager
def writing(where: Path) -> Iterator[None]:
    """What the system refuses inside is told with the place.

    Args:
        where: the file that is written, or its folder.
    Raises:
        KormoError: see `disk_error`; any other error is raised as it is.
    """
    try:
        yield
    except OSError as error:
        named = disk_error(error, where)
        if named is error:  # an error must not be its own cause: following the chain would never end
            raise
        raise named from error


FULL = "no space left on the disk"
NEEDED = "free on the disk of"
"""In `found` of a full disk, and of one that is too small for what is wanted."""


def full_disk(where: Path, quota: bool = False) -> KormoError:
    """A disk that has no space left, with the place where it is mounted.

    Args:
        where: the file that was written, or its folder.
        quota: the disk has space, but this user's or project's share of it is used up.
    """
    folder = next((path for path in (where, *where.absolute().parents) if path.exists()), Path("/")).resolve()
    mount = next(path for path in (folder, *folder.parents) if os.path.ismount(path) or path == path.parent)
    free = "the quota is used up" if quota else f"{size(_free_bytes(folder))} free"
    return KormoError(
        where=str(where),
        found=f"{FULL} mounted at {mount} ({free})",
        why="writing could not be finished, and the unfinished part is not used",
        do="free some space or choose a folder on another disk, and run the same command again: it continues",
    )


def size(count: float) -> str:
    """Bytes for people: `2.5 GB`, `300 kB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count:.0f} bytes"


_SHORT_WRITE = re.compile(r"^\d+ requested and \d+ written$")
"""What numpy says of a full disk, without a number of the system's."""

_TOLD = {
    errno.EMFILE: "raise the limit of open files (`ulimit -n`), or use fewer workers",
    errno.ENFILE: "close other programs: all file handles of the machine are in use",
    errno.EFBIG: "raise the limit of a file's size (`ulimit -f`), or choose a file system that takes larger ones",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "remove the link that leads to itself",
    errno.EIO: "the disk or its network does not answer as it should: check it, then run the same command again",
    errno.ESTALE: "the file server no longer has it: mount the disk again, then run the same command again",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
}
"""Error of the system -> what to do."""

_written: dict[int, Path] = {}
"""Disk (its device number) -> where this process wrote last on it."""


def writes(path: Path) -> None:
    """Notes that something is about to be written at `path`: an error that names no file is then told with the place on
    the disk that is full."""
    for folder in (path, *path.absolute().parents):
        with suppress(OSError):
            _written[folder.stat().st_dev] = path
            return


def system_error(error: OSError, where: str, words: Iterable[str] = ()) -> KormoError:
    """An error of the operating system as a message; for the outermost door.

    Args:
        where: the command, for errors that name no file.
        words: of the command line; some may be places that are written to.
    """
    named = disk_error_in(error, words)
    if named is not None:
        return named
    if "socket" in sys.modules and isinstance(error, sys.modules["socket"].gaierror):
        return KormoError(
            where=where,
            found=str(error.strerror or error),
            why="the name of a host cannot be resolved",
            do="check the address and the network",
        )
    return KormoError(
        where=str(error.filename or where),
        found=in_words(error),
        why="the system refuses it",
        do="check the path and the disk; with KORMO_TRACEBACK=1 the traceback is shown too",
    )


def disk_error_in(error: BaseException, words: Iterable[str] = (), where: Path | None = None) -> KormoError | None:
    """What the system said of a disk, inside an error that a library may have wrapped; None if it is about something
    else.

    What libraries make of a refused write is known by their own sentences (`wording.refusals`); a name or a text that
    says the same is none.

    Args:
        words: of the command line; some may be places that are written to.
        where: what is written, where that is known; what was raised while a refused write was handled counts then too.
    """
    seen: BaseException | None = error
    looked_at: set[int] = set()
    while seen is not None and id(seen) not in looked_at:  # `raise error from error` is a chain without an end
        looked_at.add(id(seen))
        place = where or _target(seen) or _fullest(words)
        known = [seen] if isinstance(seen, OSError) else []
        known += [OSError(number, os.strerror(number)) for number in refusal_numbers(seen)]
        for one in known:
            if isinstance(named := disk_error(one, place), KormoError):
                return named
        seen = seen.__cause__ or (seen.__context__ if where is not None else None)
    return None


def _target(error: BaseException) -> Path | None:
    """The file that was written, where the error names it. `shutil` puts what it read first."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        return Path(str(error.args[0][0][1]))
    names = [getattr(error, "filename2", None), getattr(error, "filename", None)]
    return next((Path(name) for name in names if isinstance(name, str)), None)


def _fullest(words: Iterable[str]) -> Path:
    """Of the places that a command writes to, as far as anybody knows, the one with the least space."""
    import tempfile

    named = [Path(part) for word in words for part in (word, word.partition("=")[2]) if os.sep in part]
    return min([*_written.values(), *named, Path.cwd(), Path(tempfile.gettempdir())], key=_free_bytes)


def _free_bytes(where: Path) -> int:
    for folder in (where, *where.absolute().parents):
        try:
            return shutil.disk_usage(folder).free
        except (OSError, ValueError):
            continue
    return 0


def in_words(error: BaseException) -> str:
    """What an exception says, for `found` (`wording.exceptions`); of a `KormoError` its own `found`."""
    return shortened(error.found) if isinstance(error, KormoError) else exception_in_words(error)
