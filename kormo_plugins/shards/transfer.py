"""Copies a folder of shards or rows from an object store (or any fsspec file system) to a local disk, and verifies it.

The manifest is read first and written last. Data files are hashed while they are copied, and complete ones are not
copied again; an interrupted copy can be resumed, and the result equals what was built.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.shards.writer import HashedFile
from kormo_plugins.store.files import FORMATS, FileRecord, manifest_files

CHUNK = 1 << 22
MANIFEST_BYTES = 1 << 30
"""Maximum bytes of a manifest or list: it is held in memory, and a malicious server could send an endless one."""
ARRIVING = ".arriving"
"""Folder for files that become valid only when all are present."""


def fetch(
    url: str,
    out: Path,
    *,
    threads: int = 8,
    options: dict[str, object] | None = None,
    progress: Callable[[int, int], None] | None = None,
    check: Callable[[str, Path], None] = lambda name, path: None,
) -> dict[str, int]:
    """Copies the folder at `url` into `out` and verifies it.

    Args:
        url: address of a finished folder (`s3://bucket/shards/ko_web`, `memory://…`, or a path).
        out: local folder, created if needed.
        threads: files copied in parallel.
        options: filesystem options for fsspec.
        progress: called with (bytes present, bytes in total) after each file.
        check: called with name and path of each present file before the folder counts as complete; may raise.
    Returns:
        `files`, `bytes`, and `copied`: the bytes that were not present before.
    Raises:
        KormoError: there is no finished folder at `url`, a file is missing there, or a file does not match the
            manifest.
    """
    out = Path(out)
    filesystem, root, name, manifest = _open(url, options or {})
    out.mkdir(parents=True, exist_ok=True)
    arriving = out / ARRIVING
    arriving.mkdir(exist_ok=True)
    (arriving / name).write_bytes(manifest)
    check(name, arriving / name)
    records = manifest_files(arriving)
    (arriving / name).unlink()
    arriving.rmdir()
    if (out / name).is_file() and (out / name).read_bytes() != manifest:
        (out / name).unlink()  # different contents, about to be replaced
    total, done_bytes, copied = sum(record.bytes for record in records.values()), 0, 0

    def one(file: str, record: FileRecord) -> int:
        """Fetches and checks a file; returns the bytes that were already present."""
        here = fetch_file(filesystem, f"{root}/{file}", out / file, record)
        check(file, out / file)
        return here

    with ThreadPoolExecutor(threads) as pool:
        jobs = {pool.submit(one, file, record): record for file, record in records.items()}
        try:
            for job in as_completed(jobs):
                copied += job.result()
                done_bytes += jobs[job].bytes
                if progress:
                    progress(done_bytes, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    last = HashedFile(out / name)
    last.write(manifest)
    last.close()
    return {"files": len(records), "bytes": total, "copied": copied}


def _open(url: str, options: dict[str, object]) -> tuple[object, str, str, bytes]:
    """The filesystem, the folder on it, and name and contents of the folder's manifest."""
    import fsspec

    try:
        filesystem, root = fsspec.core.url_to_fs(url, **options)
        name = next(name for name in FORMATS if filesystem.isfile(f"{root}/{name}"))
        manifest = small_file(filesystem, f"{root}/{name}")
    except StopIteration:
        raise KormoError(
            where=url,
            found="no finished manifest",
            why=f"a complete folder has one of {', '.join(FORMATS)}, which is written last",
            do="check the address, or build the folder first",
        ) from None
    except (OSError, ImportError, ValueError) as error:
        raise KormoError(
            where=url,
            found=in_words(error),
            why="it cannot be opened",
            do="check the address and the storage options",
        ) from None
    return filesystem, root, name, manifest


def small_file(filesystem: Any, source: str) -> bytes:
    """Reads a manifest.

    Raises:
        KormoError: it is longer than any manifest that we write.
    """
    with filesystem.open(source, "rb") as stream:
        data: bytes = stream.read(MANIFEST_BYTES + 1)
    if len(data) > MANIFEST_BYTES:
        raise KormoError(
            where=source,
            found=f"more than {MANIFEST_BYTES:,} bytes",
            why="it is too large for a manifest",
            do="copy the folder from another location",
        )
    return data


def fetch_file(filesystem: Any, source: str, path: Path, record: FileRecord) -> int:
    """Copies one file unless it is already complete; returns the bytes copied.

    Raises:
        KormoError: it cannot be read, or does not match `record`; reads at most the recorded size.
    """
    try:
        record.check(path)
        return 0
    except KormoError:
        pass
    file = HashedFile(path)
    try:
        with filesystem.open(source, "rb") as stream:
            while file.bytes <= record.bytes and (block := stream.read(CHUNK)):
                file.write(block)
        if (copied := file.peek()) != record:
            size = f"{copied.bytes:,}" if copied.bytes <= record.bytes else f"more than {record.bytes:,}"
            raise KormoError(
                where=source,
                found=f"{size} bytes with the checksum {copied.xxh3_128}",
                why=f"the manifest lists {record.bytes:,} bytes with {record.xxh3_128}",
                do="copy the folder to the store again from where it was built",
            )
    except OSError as error:
        file.discard()
        raise KormoError(
            where=source,
            found=in_words(error),
            why="it cannot be read",
            do="copy the folder to the store again",
        ) from None
    except KormoError:
        file.discard()
        raise
    file.close()
    return record.bytes
