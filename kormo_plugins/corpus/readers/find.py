"""Finds the files of a reader's input: a file, or a folder searched recursively, with the reason if one cannot be read.

Every name that is found is accounted for. Entries that cannot be read (a pipe, a broken link, a folder without
permission, a Git LFS pointer, an unsupported kind) are returned with the reason, which becomes a reject. They are never
opened, so reading cannot block.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import orjson

from kormo_plugins.corpus.readers.file_formats.streams import SUFFIXES, ZIP
from kormo_plugins.errors import KormoError, closest

KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "text",
    ".md": "text",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
}
"""Lower-case suffix, before any compression suffix -> kind of file."""
WHOLE_FILES = ("parquet", "arrow")
"""Kinds that need random access, so they are read neither compressed nor from an archive."""
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
LFS = "a Git LFS pointer: the file itself was not downloaded (git lfs pull)"
LINK = "link that leaves the folder (follow_links is false)"
FOLDER_LINK = "link to a folder (follow_links is false)"
NOT_OF_DATASET = "not among the files of the saved dataset beside it (state.json)"
SAVED_DATASET = ("state.json", "dataset_info.json")
"""If both are in a folder, `datasets.save_to_disk` wrote it. They and `dataset_dict.json` only describe its files."""


@dataclass(frozen=True, slots=True)
class Found:
    """One file or zip member.

    Args:
        path: path of the file or of the archive.
        name: name relative to the input folder (`sub/a.zip/b.jsonl` for a member), printable.
        kind: one of `KINDS`, or "" if it cannot be read.
        fault: why it cannot be read; becomes the reason of its reject.
        member: name inside the archive `path`.
        size: stored bytes of a member.
    """

    path: Path
    name: str
    kind: str
    fault: str = ""
    member: str | None = None
    size: int = 0


def printable(name: str) -> str:
    """A printable file name: bytes that are not UTF-8 are written as `\\xb0`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def kind_of(name: str) -> str:
    """The kind of a file by its suffix, ignoring a compression suffix; "" if unknown."""
    bare = PurePosixPath(name)
    if bare.suffix.lower() in SUFFIXES:
        bare = bare.with_suffix("")
    kind = KINDS.get(bare.suffix.lower(), "")
    return "" if kind in WHOLE_FILES and bare.name != PurePosixPath(name).name else kind


def find_files(path: Path, kinds: tuple[str, ...], follow_links: bool, where: str) -> list[Found]:
    """The input files sorted by name, including those that cannot be read.

    Hidden files and folders (`.git`, `.cache`) are ignored, and so are the description files that
    `datasets.save_to_disk` writes beside its data.

    Raises:
        KormoError: the path does not exist, or holds nothing that can be read.
    """
    if not os.path.lexists(path):
        near = closest(path.name, _names(path.parent))
        raise KormoError(
            where=where,
            found=str(path),
            why="there is no such file or folder",
            do=near or "correct the path; it is relative to the current folder",
        )
    folder = path.is_dir()
    files = sorted(_walk(path, kinds, follow_links) if folder else _file(path, path.name, kinds), key=lambda f: f.name)
    if not any(file.kind for file in files):
        raise _nothing_to_read(path, files, kinds, where, folder)
    return files


def _nothing_to_read(path: Path, files: list[Found], kinds: tuple[str, ...], where: str, folder: bool) -> KormoError:
    endings = ", ".join(suffix for suffix, kind in KINDS.items() if kind in kinds)
    faults = "; ".join(f"{file.name}: {file.fault}" for file in files[:5]) or "no files"
    if not folder and len(files) == 1:
        return KormoError(
            where=where,
            found=f"the file {path}",
            why=files[0].fault if kind_of(path.name) in kinds else f"its suffix is not one of {endings}",
            do="name another reader or file, or correct the reported fault",
        )
    links = (
        "; links that leave the folder need follow_links: true"
        if any(f.fault in (LINK, FOLDER_LINK) for f in files)
        else ""
    )
    return KormoError(
        where=where,
        found=f"the {'folder' if folder else 'archive'} {path} with {faults}",
        why=f"no file in it can be read ({endings})",
        do=f"name another folder or reader{links}",
    )


def _names(folder: Path) -> list[str]:
    try:
        return [printable(entry.name) for entry in folder.iterdir()]
    except OSError:
        return []


def _walk(root: Path, kinds: tuple[str, ...], follow_links: bool) -> Iterator[Found]:
    """All files below a folder; link cycles are not followed."""
    inside = os.path.realpath(root)
    waiting: list[tuple[Path, str, tuple[tuple[int, int], ...]]] = [(root, "", ())]
    while waiting:
        folder, prefix, above = waiting.pop()
        try:
            info = folder.stat()
            entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
        except OSError as error:
            yield Found(folder, prefix.rstrip("/") or ".", "", f"unreadable folder ({_reason(error)})")
            continue
        own = (info.st_dev, info.st_ino)
        if own in above:
            yield Found(folder, prefix.rstrip("/"), "", "link to a folder that it lies in")
            continue
        data_files = _saved_dataset(folder, {entry.name for entry in entries})
        for entry in entries:
            name, path = f"{prefix}{printable(entry.name)}", Path(entry.path)
            if entry.is_symlink() and not follow_links and not Path(os.path.realpath(path)).is_relative_to(inside):
                yield Found(path, name, "", LINK)
            elif entry.is_symlink() and not follow_links and _is_folder(entry):
                yield Found(path, name, "", FOLDER_LINK)
            elif _is_folder(entry):
                waiting.append((path, f"{name}/", (*above, own)))
            elif not _describes(entry.name, folder, data_files):
                beside = data_files is not None and entry.name not in data_files
                yield from [Found(path, name, "", NOT_OF_DATASET)] if beside else _file(path, name, kinds)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _saved_dataset(folder: Path, names: set[str]) -> set[str] | None:
    """The data files of a folder that `datasets.save_to_disk` wrote; None for any other folder."""
    if not names.issuperset(SAVED_DATASET):
        return None

    try:
        state = orjson.loads((folder / "state.json").read_bytes())
        return {str(file["filename"]) for file in state["_data_files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _describes(name: str, folder: Path, data_files: set[str] | None) -> bool:
    """Whether a file only describes a saved dataset, or several in adjacent folders."""
    if data_files is not None:
        return name in SAVED_DATASET
    return name == "dataset_dict.json" and any((child / "state.json").is_file() for child in folder.iterdir())


def _file(path: Path, name: str, kinds: tuple[str, ...]) -> Iterator[Found]:
    """A file, or the members of a zip archive, with the fault of each that cannot be read."""
    printed = printable(name)
    if fault := _fault(path):
        yield Found(path, printed, "", fault)
    elif path.suffix.lower() == ZIP:
        yield from _members(path, printed, kinds)
    elif (kind := kind_of(path.name)) in kinds:
        yield Found(path, printed, kind)
    else:
        yield Found(path, printed, "", unknown(path.name))


def unknown(name: str) -> str:
    """The reject reason for a file of an unsupported kind."""
    return f"unknown kind of file ({printable(PurePosixPath(name).suffix) or 'no suffix'})"


def _fault(path: Path) -> str:
    """Why a file cannot be read, or "". Only regular files are opened: opening a pipe would block."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            return f"not a regular file ({_sort(info.st_mode)})"
        with path.open("rb") as file:
            if info.st_size < 1024 and file.read(len(LFS_POINTER)) == LFS_POINTER:
                return LFS
    except OSError as error:
        return f"unreadable {'link' if path.is_symlink() else 'file'} ({_reason(error)})"
    return ""


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _sort(mode: int) -> str:
    for test, word in (
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    ):
        if test(mode):
            return word
    return "of an unknown kind"


def _members(path: Path, name: str, kinds: tuple[str, ...]) -> Iterator[Found]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        yield Found(path, name, "", f"damaged archive ({error})")
        return
    if not infos:
        yield Found(path, name, "", "empty archive")
    for info in infos:
        member = _member_name(info)
        if any(part.startswith(".") for part in PurePosixPath(member).parts) or member.startswith("__MACOSX/"):
            continue
        kind = kind_of(member)
        fault = "" if kind in kinds and kind not in WHOLE_FILES else unknown(member)
        if kind in kinds and kind in WHOLE_FILES:
            fault = f"{kind} inside of an archive: unpack it first"
        yield Found(path, f"{name}/{member}", "" if fault else kind, fault, info.filename, info.compress_size)


def _member_name(info: zipfile.ZipInfo) -> str:
    """The name of a member; archives made on Korean Windows use CP949 without declaring it."""
    if info.flag_bits & 0x800 or info.filename.isascii():
        return info.filename
    for encoding in ("utf-8", "cp949"):
        try:
            return info.filename.encode("cp437").decode(encoding)
        except UnicodeError:
            continue
    return info.filename
