"""Integrity records: size and XXH3-128 of every file of a finished folder, and the manifests that list them.

An artifact's manifest lists its files. Folders of shards, rows and preference pairs hash their data while they write
it and list it in a manifest of their own; the artifact's then holds only that manifest, so that no data is read twice.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import xxhash

from kormo_plugins.errors import KormoError
from kormo_plugins.store.atomic import SUFFIX, flush
from kormo_plugins.store.fingerprint import file_checksum
from kormo_plugins.store.json_file import read_object

SHARDS_MANIFEST = "shards.json"
FORMATS = {SHARDS_MANIFEST: "kormo-shards-2", "rows.json": "kormo-rows-1", "pairs.json": "kormo-pairs-1"}
"""Manifest file -> its format: the kinds of folder that hold checksums."""
REBUILD = "build it again, or copy it again from an intact source"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Size in bytes and XXH3-128 of one file, recorded when it was written."""

    bytes: int
    xxh3_128: str

    @classmethod
    def of(cls, path: Path) -> FileRecord:
        """The record of a file as it is now."""
        return cls(path.stat().st_size, file_checksum(path))

    @classmethod
    def parse(cls, value: object, name: str, where: Path) -> FileRecord:
        """Parses the entry `value` of the file `name` in the manifest `where`.

        Raises:
            KormoError: the entry has no size or no checksum.
        """
        size = value.get("bytes") if isinstance(value, Mapping) else None
        digest = value.get("xxh3_128") if isinstance(value, Mapping) else None
        if type(size) is not int or size < 0 or not isinstance(digest, str):
            raise KormoError(
                where=str(where),
                found=f"a record of {name!r} without size or checksum",
                why="the manifest was damaged or edited",
                do=REBUILD,
            )
        return cls(size, digest)

    def check(self, path: Path, contents: bool = True) -> None:
        """Raises KormoError, naming the file, if it is missing, has a different size or (with `contents`) different
        bytes."""
        if not path.is_file():
            raise KormoError(where=str(path), found="no such file", why="the manifest beside it lists it", do=REBUILD)
        size = path.stat().st_size
        if size != self.bytes:
            raise KormoError(
                where=str(path),
                found=f"{size:,} bytes",
                why=f"it had {self.bytes:,} bytes when it was written: it is truncated or another file",
                do=REBUILD,
            )
        if contents:
            self.compare(path, file_checksum(path))

    def compare(self, path: Path, digest: str) -> None:
        """Raises KormoError, naming the file, if `digest` is not the one that was recorded."""
        if digest != self.xxh3_128:
            raise KormoError(
                where=str(path),
                found=f"the checksum {digest}",
                why=f"it was {self.xxh3_128} when the file was written: its contents have changed",
                do=REBUILD,
            )


def read_json(path: Path, expected_format: str) -> dict[str, Any]:
    """A manifest of ours.

    Raises:
        KormoError: it is missing, is not JSON, or has another format.
    """
    never = "it is written last, so the folder was never finished, or it is the wrong folder"
    value = read_object(path, missing=(never, "build it (again); finished files in it are kept"), fix=REBUILD)
    if value.get("format") != expected_format:
        raise KormoError(
            where=str(path),
            found=f"the format {value.get('format')!r}",
            why=f"this version reads only {expected_format!r}",
            do="build it again with this version",
        )
    return value


def file_records(values: dict[str, object], where: Path) -> dict[str, FileRecord]:
    """The `files` part of a manifest, whose names may not leave the folder.

    Raises:
        KormoError: a name contains a path, or an entry is malformed.
    """
    records: dict[str, FileRecord] = {}
    for name, record in values.items():
        if name != Path(name).name or name in ("", ".", ".."):
            raise KormoError(
                where=str(where), found=f"the file name {name!r}", why="it points outside its folder", do=REBUILD
            )
        records[name] = FileRecord.parse(record, name, where)
    return records


def manifest_files(folder: Path) -> dict[str, FileRecord]:
    """Records of the data files of shards, of a row plan or of preference pairs.

    Raises:
        KormoError: the folder holds no finished manifest of any kind.
    """
    for name, kind in FORMATS.items():
        path = folder / name
        if path.is_file():
            manifest = read_json(path, kind)
            parts = manifest.get("shards") if name == SHARDS_MANIFEST else [manifest]
            if not isinstance(parts, list) or not all(_lists_files(part) for part in parts):
                raise KormoError(
                    where=str(path), found="no list of files", why="the manifest is damaged or was edited", do=REBUILD
                )
            return {file: record for part in parts for file, record in file_records(part["files"], path).items()}
    raise KormoError(
        where=str(folder),
        found="no finished manifest",
        why=f"a complete folder has one of {', '.join(FORMATS)}, which is written last",
        do="build it; finished files in it are reused",
    )


def _lists_files(part: object) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("files"), Mapping)


def file_list(folder: Path) -> dict[str, dict[str, object]]:
    """POSIX path -> size and checksum of every file below `folder`, sorted.

    Files that a `shards.json` or `rows.json` in the folder lists are left out. All files and folder entries are flushed
    to the disk, so that the folder can be published.
    """
    listed = set(manifest_files(folder)) if has_own_manifest(folder) else set()
    records = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name.endswith(SUFFIX) or not (path.is_file() or path.is_dir()):
            continue
        flush(path)
        if path.is_file() and name not in listed:
            records[name] = asdict(FileRecord.of(path))
    return records


def has_own_manifest(folder: Path) -> bool:
    """Whether a folder has a manifest beside the artifact's: shards, row plans and pairs list their files
    themselves."""
    return any((folder / name).is_file() for name in FORMATS)


def manifest_records(folder: Path, manifest: Mapping[str, Any]) -> dict[str, FileRecord]:
    """The `files` of an artifact's manifest, whose names may lead into subfolders but not out of the folder.

    Raises:
        KormoError: a name that leads elsewhere, or a record of another shape.
    """
    where = folder / "manifest.json"
    records: dict[str, FileRecord] = {}
    for name, record in manifest["files"].items():
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\0" in name:
            raise KormoError(
                where=str(where), found=f"the file name {name!r}", why="it points outside its folder", do=REBUILD
            )
        records[name] = FileRecord.parse(record, name, where)
    return records


class CheckedFile(io.RawIOBase):
    """A file that is hashed while it is read, and compared with its record at the end.

    Args:
        path: the file; it is read from front to back.
        record: its expected size and checksum.
    Raises:
        KormoError: the file is missing or has another size.
    """

    def __init__(self, path: Path, record: FileRecord) -> None:
        super().__init__()
        record.check(path, contents=False)
        self._path, self._record = path, record
        self._digest = xxhash.xxh3_128()
        self._file = path.open("rb", buffering=0)

    def readable(self) -> bool:
        """True: it can only be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads up to `len(buffer)` bytes; 0 at the end."""
        count = self._file.readinto(buffer) or 0
        self._digest.update(memoryview(buffer)[:count])
        return count

    def finish(self) -> None:
        """Reads the rest of the file, and compares.

        Raises:
            KormoError: the contents have changed.
        """
        while self.read(1 << 20):
            pass
        self._record.compare(self._path, self._digest.hexdigest())

    def close(self) -> None:
        """Closes the file."""
        if not self.closed:
            self._file.close()
        super().close()
