"""The reader `warc`: pages from web archives (WARC) and their texts (WET), local or from a list of URLs.

    reader: {name: warc, path: crawl/}
    reader: {name: warc, urls: warc.paths, base: "https://data.commoncrawl.org/"}

Each page is one document: its HTML (or its text, from a WET file) decoded to Unicode, with `url`, `crawled` and `mime`
in its `meta`; the step `extract` converts it to text. An archive is a part: an interrupted build resumes at the archive
and chunk where it stopped. Pages that declare `noai` are rejected with that reason.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self, TypeVar, cast

from pydantic import Field, model_validator

from kormo_plugins.corpus.extract.extractors import installed
from kormo_plugins.corpus.extract.opt_out import TOKENS
from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.readers.web_archives.warc_pages import pages
from kormo_plugins.corpus.reports.unread import Tell, counted
from kormo_plugins.corpus.step import Read, Rejected
from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.store.fingerprint import file_checksum

Item = TypeVar("Item")
SUFFIXES = (".warc", ".wet", ".warc.gz", ".wet.gz", ".warc.zst", ".wet.zst", ".warc.wet.gz")
MAX_PARTS = 1024
READ = 1 << 20
"""Bytes requested at a time from a remote archive."""
TRIES = 4
"""Attempts to open an archive before the build stops; a restarted build resumes there."""


class Archives(Strict):
    """Local or remote archives."""

    path: Path | None = Field(default=None, description="WARC or WET file, or a folder of such files")
    urls: Path | None = Field(
        default=None,
        description="text file with one archive address per line (s3://, https://, or a local file), like Common "
        "Crawl's `warc.paths`",
    )
    base: str = Field(default="", description="prefix of every address in `urls`")
    storage: dict[str, str | int | bool] = Field(
        default_factory=dict, description="options of the fsspec filesystem (`anon: true` for a public bucket)"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.path is None) == (self.urls is None):
            raise ValueError("give exactly one of path and urls; null takes an inherited one away")
        if self.base and self.urls is None:
            raise ValueError("base is the prefix of the addresses in urls, which is not set")
        return self


class WarcParams(Archives):
    """Archives, and which of their pages become documents."""

    RENAMED: ClassVar = {"largest": "max_bytes"}

    opt_out: tuple[str, ...] = Field(
        default=TOKENS,
        description="robots directives in a page's header or meta tags that reject it; add `noindex` or `noarchive` "
        "to be stricter; empty: none is honoured",
    )
    max_bytes: int = Field(
        default=10_000_000, ge=1, description="maximum bytes of a page; a larger one is rejected (ours)"
    )


class Warc:
    """A reader of web archives; called with `(params, shard, shards)`."""

    VERSION = 2

    def parts(self, params: WarcParams) -> int:
        """One part per archive, up to `MAX_PARTS`."""
        installed("resiliparse", "reader warc")  # provides the character set labels that browsers know
        return min(len(archives(params, "reader warc")), MAX_PARTS)

    def inputs(self, params: WarcParams) -> dict[str, object]:
        """Everything that the documents depend on: checksums of local archives; addresses of remote ones, since
        published crawls do not change."""
        return {
            "archives": identities(params, "reader warc"),
            "opt_out": list(params.opt_out),
            "max_bytes": params.max_bytes,
        }

    def __call__(self, params: WarcParams, shard: int = 0, shards: int = 1) -> Read:
        """The pages of part `shard` of `shards`, and a `Rejected` for every page that does not become a document."""
        return self.read_files(params, shard, shards, lambda count: None)

    def read_files(self, params: WarcParams, shard: int, shards: int, tell: Tell) -> Read:
        """As `__call__`; also calls `tell` for archives in which no page became a document."""
        all_archives = archives(params, "reader warc")
        for name, address in all_archives[
            shard * len(all_archives) // shards : (shard + 1) * len(all_archives) // shards
        ]:
            yield from counted(_archive(name, address, params), name, tell, whole=True, least=0.0)


def identities(params: Archives, where: str, suffixes: tuple[str, ...] = SUFFIXES) -> list[object]:
    """The identity of the archives: names and checksums of local ones, addresses of remote ones."""
    all_archives = archives(params, where, suffixes)
    return [[name, file_checksum(Path(address))] if params.path else address for name, address in all_archives]


def archives(params: Archives, where: str, suffixes: tuple[str, ...] = SUFFIXES) -> list[tuple[str, str]]:
    """(name, address) of every archive, in order.

    Args:
        where: location for error messages.
        suffixes: file suffixes accepted in a folder.
    Raises:
        KormoError: a file or folder does not exist, or holds no archive.
    """
    if params.urls is not None:
        where, path = f"{where}: urls", params.urls
    else:
        assert params.path is not None
        where, path = f"{where}: path", params.path
    if not path.exists():
        raise KormoError(
            where=where,
            found=str(path),
            why="there is no such file or folder",
            do="correct the path; it is relative to the current folder",
        )
    if params.urls is not None:
        lines = (line.strip() for line in path.read_text("utf-8").splitlines())
        named_archives = [(line, params.base + line) for line in lines if line and not line.startswith("#")]
    else:
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        named_archives = [
            (file.relative_to(path).as_posix() if path.is_dir() else file.name, str(file))
            for file in files
            if file.is_file() and (path.is_file() or file.name.lower().endswith(suffixes))
        ]
    if not named_archives:
        raise KormoError(
            where=where,
            found=str(path),
            why=f"no archive is there ({', '.join(suffixes)})" if params.path else "it contains no address",
            do="name another file or folder",
        )
    return named_archives


def _archive(name: str, address: str, params: WarcParams) -> Iterator[Document | Rejected]:
    """The pages of one archive."""
    done = 0
    try:
        for item in read_archive(
            address,
            params.storage,
            lambda stream: pages(stream, name, params.opt_out, params.max_bytes),
            "reader warc: urls",
        ):
            done += 1
            yield item
    except FileNotFoundError:
        yield Rejected(Document(id=name, text=""), "no such archive")
    except (OSError, EOFError) as error:
        yield Rejected(Document(id=f"{name}:{done + 1}", text=""), f"unreadable archive ({error})"[:200])


def read_archive(
    address: str, storage: Mapping[str, object], read: Callable[[BinaryIO], Iterator[Item]], where: str
) -> Iterator[Item]:
    """Yields the results of `read` for an archive; after a dropped connection it continues without repeating any.

    Raises:
        FileNotFoundError: the archive does not exist.
        OSError: a local archive is damaged; raised after everything readable was yielded.
        KormoError: a remote archive could not be read in `TRIES` attempts.
    """
    done = 0
    for attempt in range(TRIES):
        try:
            with _opened(address, storage) as stream:
                for number, item in enumerate(read(stream)):
                    if number >= done:
                        done += 1
                        yield item
            return
        except FileNotFoundError:
            raise
        except (OSError, EOFError) as error:
            if "://" not in address:
                raise
            if attempt == TRIES - 1:
                raise _unreachable(address, error, where) from error
            time.sleep(2**attempt)


@contextmanager
def _opened(address: str, storage: Mapping[str, object]) -> Iterator[BinaryIO]:
    if "://" not in address:
        with Path(address).open("rb") as file:
            yield file
        return
    import fsspec

    with _as_os_errors():
        opened = fsspec.open(address, "rb", **storage).open()
    with opened as file, io.BufferedReader(_Remote(file), READ) as stream:
        yield cast(BinaryIO, stream)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Converts errors of filesystem libraries to OSError: aiohttp, for example, raises its own for a truncated
    response."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


class _Remote(io.RawIOBase):
    """A remote file read sequentially; after a dropped connection it resumes at the same byte if the server allows."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file, self._at = file, 0

    def readable(self) -> bool:
        """Always True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads up to `len(buffer)` bytes; 0 at the end."""
        for attempt in range(TRIES):
            try:
                with _as_os_errors():
                    if attempt:
                        self._file.seek(self._at)
                    data = self._file.read(len(buffer))
                break
            except OSError:
                if attempt == TRIES - 1 or not self._file.seekable():
                    raise
                time.sleep(2**attempt)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _unreachable(address: str, error: Exception, where: str) -> KormoError:
    first = in_words(error.__cause__ or error)
    return KormoError(
        where=where,
        found=address,
        why=f"it could not be read in {TRIES} attempts: {first}",
        do="run the same command again to resume, or remove the address from the list",
    )


warc = Warc()
