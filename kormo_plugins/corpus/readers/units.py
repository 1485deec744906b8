"""How files are divided among parts: what is read in one go is a unit, and a part is a run of units.

Units come from the files alone (names, sizes, row groups), never from the number of workers, and parts are runs of
neighbouring units. So the order of a source is the order of its parts, whoever reads them and when.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kormo_plugins.errors import KormoError, closest

UNIT_BYTES = 16 << 20
"""A plain JSONL file is read in ranges of this many bytes; also the size that a part aims at."""
MOST_PARTS = 1024
COMPRESSED = 4
"""How much larger than the archive its text is taken to be, for dividing the work."""
KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "text", ".md": "text"}
"""Suffix (before .gz or .zst) -> kind of file."""


@dataclass(frozen=True)
class Unit:
    """What is read in one go.

    Args:
        path: the file.
        name: its name below the folder that was asked for.
        kind: `jsonl`, `parquet`, `text`; `unknown` and `link` cannot be read and are rejected by name.
        start, end: bytes of a plain JSONL file, row groups of a Parquet file; None: to its end.
        weight: bytes of text, roughly.
    """

    path: Path
    name: str
    kind: str
    start: int = 0
    end: int | None = None
    weight: int = 0


def kind_of(path: Path) -> str:
    """The kind of a file by its suffix, archive suffixes apart."""
    bare = path.with_suffix("") if path.suffix in (".gz", ".zst") else path
    kind = KINDS.get(bare.suffix.lower(), "unknown")
    return "unknown" if kind == "parquet" and bare != path else kind


def find_files(path: Path, kinds: tuple[str, ...], follow_links: bool, where: str) -> list[tuple[Path, str, str]]:
    """The files to read as (path, name, kind), by name.

    Hidden files and folders (`.git`, `.cache`) do not belong to a folder's content. A link that leaves the folder has
    the kind `link`, any other file of no kind that was asked for `unknown`: both are reported as rejects.

    Raises:
        KormoError: nothing is there, or nothing that can be read.
    """
    if not path.exists():
        near = closest(path.name, (p.name for p in path.parent.iterdir())) if path.parent.is_dir() else ""
        raise KormoError(
            where=where,
            found=f"{path}",
            why="there is no such file or folder",
            do=near or "correct the path; it is relative to the current directory",
        )
    if path.is_file():
        if kind_of(path) not in kinds:
            raise KormoError(
                where=where,
                found=f"the file {path}",
                why=f"its suffix is not one of {', '.join(_suffixes(kinds))}",
                do="name another reader, or rename the file",
            )
        return [(path, path.name, kind_of(path))]
    found = []
    root = path.resolve()
    for folder, subfolders, files in os.walk(path, followlinks=follow_links):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        links = [name for name in subfolders if (Path(folder) / name).is_symlink()] if not follow_links else []
        for name in sorted([*files, *links]):
            file = Path(folder) / name
            if name.startswith("."):
                continue
            kind = kind_of(file) if kind_of(file) in kinds else "unknown"
            if not follow_links and not file.resolve().is_relative_to(root):
                kind = "link"
            found.append((file, file.relative_to(path).as_posix(), kind))
    if not any(kind in kinds for _, _, kind in found):
        seen = ", ".join(name for _, name, _ in found[:5]) or "no file at all"
        raise KormoError(
            where=where,
            found=f"the folder {path} with {seen}",
            why=f"no file in it can be read ({', '.join(_suffixes(kinds))})",
            do="name another folder or reader"
            + (
                "; links that leave the folder need follow_links: true"
                if any(kind == "link" for _, _, kind in found)
                else ""
            ),
        )
    return sorted(found, key=lambda item: item[1])


def _suffixes(kinds: tuple[str, ...]) -> list[str]:
    return [suffix for suffix, kind in KINDS.items() if kind in kinds]


def units(files: list[tuple[Path, str, str]]) -> list[Unit]:
    """The files as units, in order."""
    found: list[Unit] = []
    for path, name, kind in files:
        if kind == "parquet":
            found += _row_groups(path, name)
            continue
        size = path.stat().st_size if path.exists() else 0
        packed = path.suffix in (".gz", ".zst")
        if kind == "jsonl" and not packed and size > UNIT_BYTES:
            for start in range(0, size, UNIT_BYTES):
                end = min(start + UNIT_BYTES, size)
                found.append(Unit(path, name, kind, start, end, end - start))
        else:
            found.append(Unit(path, name, kind, weight=size * (COMPRESSED if packed else 1)))
    return found


def _row_groups(path: Path, name: str) -> list[Unit]:
    import pyarrow.parquet as pq

    try:
        meta = pq.read_metadata(path)
    except (OSError, ValueError):  # damaged: the reader rejects the file by name
        return [Unit(path, name, "parquet", weight=path.stat().st_size)]
    return [
        Unit(path, name, "parquet", group, group + 1, meta.row_group(group).total_byte_size)
        for group in range(meta.num_row_groups)
    ] or [Unit(path, name, "parquet")]


def parts_for(found: list[Unit]) -> int:
    """How many parts these units should be worked on in."""
    size = sum(unit.weight for unit in found)
    return max(1, min(len(found), -(-size // UNIT_BYTES), MOST_PARTS))


def share(found: list[Unit], shard: int, shards: int) -> list[Unit]:
    """The units of part `shard`: a run of neighbours of about the same weight as the others'."""
    total = sum(unit.weight + 1 for unit in found)
    chosen, before = [], 0
    for unit in found:
        middle = 2 * before + unit.weight + 1
        if middle * shards // (2 * total) == shard:
            chosen.append(unit)
        before += unit.weight + 1
    return chosen
