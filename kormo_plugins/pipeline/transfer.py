"""Copies an artifact from an object store (or any fsspec file system) into a workspace, and verifies it.

Files are hashed on arrival, and complete ones are not copied again, so an interrupted copy can be continued. The
manifest comes last: only then is the folder an artifact, which a build finds and uses.

The XXH3 checksums of a manifest detect damage but not forgery. A folder that lists its files in `SHA256SUMS` is
compared with that list too, and the list with its own SHA-256 if the user has it from the author: then nobody in
between can change a byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.shards.transfer import ARRIVING, fetch, fetch_file, small_file
from kormo_plugins.store.artifact import MANIFEST, read_manifest
from kormo_plugins.store.atomic import publish, write_bytes
from kormo_plugins.store.files import FORMATS, manifest_records
from kormo_plugins.store.sums import SUMS, parse_sums, sha256, sha256_of

THREADS = 8
"""Files copied at a time."""

Check = Callable[[str, Path], None]


def fetch_artifact(
    url: str,
    out: Path,
    options: dict[str, object] | None = None,
    progress: Callable[[int, int], None] | None = None,
    identity: str | None = None,
) -> dict[str, int]:
    """Copies and verifies the folder at `url`: an artifact, or a folder of shards or rows without a manifest of ours.

    Args:
        url: of the folder, for fsspec (`s3://bucket/shards-ko-…`, a path).
        out: local folder; in a workspace it must keep the name that it had.
        options: for the filesystem.
        progress: called with (bytes there, bytes in all) of the shards or rows.
        identity: SHA-256 (hex) of its `SHA256SUMS`, as its author published it elsewhere.
    Returns:
        `files`, `bytes`, `copied`: the bytes copied now, without manifests; `sha256`: whether every file
        was compared with a SHA-256.
    Raises:
        KormoError: there is nothing complete at `url`, or a file differs from the manifest or the list.
    """
    import fsspec

    totals = {"files": 0, "bytes": 0, "copied": 0}
    try:
        filesystem, root = fsspec.core.url_to_fs(url, **(options or {}))
        is_artifact = filesystem.isfile(f"{root}/{MANIFEST}")
        has_own_manifest = not is_artifact or any(filesystem.isfile(f"{root}/{name}") for name in FORMATS)
        listed = small_file(filesystem, f"{root}/{SUMS}") if filesystem.isfile(f"{root}/{SUMS}") else None
    except (OSError, ImportError, ValueError) as error:
        raise KormoError(
            where=url,
            found=in_words(error),
            why="it cannot be opened",
            do="check the address and the storage options",
        ) from None
    check = _against(url, listed, identity)
    (out / MANIFEST).unlink(missing_ok=True)
    if has_own_manifest:
        totals = dict(fetch(url, out, options=options, progress=progress, check=check))
    if is_artifact:
        _fetch_listed(filesystem, root, out, totals, check)
    if listed is not None:
        write_bytes(out / SUMS, listed)
    return {**totals, "sha256": listed is not None}


def _fetch_listed(filesystem: object, root: str, out: Path, totals: dict[str, int], check: Check) -> None:
    """Copies what an artifact's manifest lists, and the manifest last."""
    out.mkdir(parents=True, exist_ok=True)
    arriving = out / ARRIVING  # the manifest, until everything that it lists has been copied
    arriving.mkdir(exist_ok=True)
    (arriving / MANIFEST).write_bytes(small_file(filesystem, f"{root}/{MANIFEST}"))
    check(MANIFEST, arriving / MANIFEST)
    records = manifest_records(out, read_manifest(arriving))

    def one(name: str) -> int:
        """Fetches and checks a file; the bytes that were copied now."""
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        copied = fetch_file(filesystem, f"{root}/{name}", out / name, records[name])
        check(name, out / name)
        return copied

    with ThreadPoolExecutor(THREADS) as pool:
        totals["copied"] += sum(pool.map(one, records))
    totals["files"] += len(records)
    totals["bytes"] += sum(record.bytes for record in records.values())
    publish(arriving / MANIFEST, out / MANIFEST)
    arriving.rmdir()


def _against(url: str, listed: bytes | None, identity: str | None) -> Check:
    """A function that compares a file with the list of its author.

    Raises:
        KormoError: there is no list, or its SHA-256 is not the expected one.
    """
    where = f"{url}/{SUMS}"
    if identity is not None and (listed is None or sha256_of(listed) != identity.lower()):
        raise KormoError(
            where=where,
            found="no such file" if listed is None else f"the SHA-256 {sha256_of(listed)}",
            why=f"--sha256 gives {identity}: this is not what the author published",
            do="ask the author, or get the folder from another source",
        )
    sums: Mapping[str, str] = parse_sums(listed, where) if listed is not None else {}

    def check(name: str, path: Path) -> None:
        """Compares a file that was fetched with the list.

        Raises:
            KormoError: it is another; it is removed first.
        """
        if listed is None or (name in sums and sha256(path) == sums[name]):
            return
        found = f"the SHA-256 {sha256(path)}" if name in sums else "a file that is not in the list"
        path.unlink()
        raise KormoError(
            where=f"{url}/{name}",
            found=found,
            why=f"{SUMS} lists {sums.get(name, 'no such file')}: the folder was changed after the list was made",
            do="get the folder from another source",
        )

    return check
