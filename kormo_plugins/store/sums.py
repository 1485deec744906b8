"""`SHA256SUMS`: every file of a folder for others with its SHA-256, in the form that `sha256sum -c` reads.

SHA-256, not the faster checksum of our own files: a release, a published dataset or a fetched artifact is checked by
people who trust nobody. The hash of the list itself is the folder's identity, the one number that has to reach them by
another way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.store.atomic import write_text

SUMS = "SHA256SUMS"
SIGNATURE, BUNDLE = f"{SUMS}.sig", f"{SUMS}.sigstore.json"
"""Who signs the list does so beside it, when it is written."""


@dataclass(frozen=True)
class Finding:
    """One difference from what the release lists.

    Args:
        where: file, artifact or step.
        what: what is there instead.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(data: bytes) -> str:
    """SHA-256 (hex) of bytes in memory."""
    return hashlib.sha256(data).hexdigest()


def files_of(folder: Path) -> list[str]:
    """Sorted POSIX paths of all files below a folder, except the list itself and its signatures."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return sorted(name for name in names if name not in (SUMS, SIGNATURE, BUNDLE))


def write_sums(folder: Path) -> str:
    """Writes the list; returns its own SHA-256, the release's identity."""
    write_text(folder / SUMS, list_of({name: folder / name for name in files_of(folder)}))
    return sha256(folder / SUMS)


def list_of(files: Mapping[str, Path]) -> str:
    """The list of some files: published name -> file."""
    return "".join(f"{sha256(path)}  {name}\n" for name, path in files.items())


def read_sums(folder: Path) -> dict[str, str]:
    """Name -> SHA-256.

    Raises:
        KormoError: there is no list, or it is malformed.
    """
    path = folder / SUMS
    try:
        return parse_sums(path.read_bytes(), str(path))
    except OSError as error:
        raise KormoError(
            where=str(path),
            found=in_words(error),
            why="a release lists all of its files and their hashes there",
            do="name a folder made by `kormo release`",
        ) from None


def parse_sums(data: bytes, where: str) -> dict[str, str]:
    """Parses the bytes of a list: name -> SHA-256.

    Raises:
        KormoError: they are malformed.
    """
    lines = data.decode("utf-8", errors="replace").splitlines()
    found = dict(line.split("  ", 1)[::-1] for line in lines if "  " in line)
    if len(found) != len(lines):
        raise KormoError(
            where=where,
            found=f"{len(lines) - len(found)} lines without a hash and a name, or with a repeated name",
            why="the list was changed",
            do="download the release again",
        )
    return found


def check_sums(folder: Path) -> Iterator[Finding]:
    """Files that are missing, changed, or not listed."""
    listed = read_sums(folder)
    present = set(files_of(folder))
    for name, expected in sorted(listed.items()):
        path = folder / name
        if name not in present or ".." in Path(name).parts:
            yield Finding(name, "missing")
        elif path.is_symlink() or sha256(path) != expected:
            yield Finding(name, f"changed since the release was made: {SUMS} lists another")
    for name in sorted(present - set(listed)):
        yield Finding(name, "not in the list: added since the release was made")
