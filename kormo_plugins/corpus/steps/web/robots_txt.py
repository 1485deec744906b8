"""Honours robots.txt: drops documents from addresses that their site forbids to crawlers for training data.

    - {name: robots_txt, path: robots/}                        # archives of robots.txt, or HOST/robots.txt
    - {name: robots_txt, urls: robotstxt.paths, base: "https://data.commoncrawl.org/"}

An archive contains what its own crawler was allowed to fetch, which says nothing about crawlers for training data.
Rules are parsed as in RFC 9309 by protego, once per build: hosts and rules are stored in one file beside the documents
(SQLite), and only the rules of recent hosts are held in memory. A site without rules allows everything. Any document
with its address in `meta.url` can be checked, whichever reader it came from.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from pydantic import Field

from kormo_plugins.corpus.extract.extractors import installed
from kormo_plugins.corpus.readers.web_archives.warc import SUFFIXES, Archives, archives, identities, read_archive
from kormo_plugins.corpus.readers.web_archives.warc_pages import ROBOTS_BYTES, robots_records
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.store.atomic import replace

if TYPE_CHECKING:
    from protego import Protego

WHERE = "step robots_txt"
ROBOTS = "robots.txt"
TRAINING = ("GPTBot", "Google-Extended", "ClaudeBot", "CCBot", "Applebot-Extended", "Meta-ExternalAgent", "Bytespider")
INDEX = "robots.sqlite"
HOSTS = 4096
"""Number of sites whose rules are cached in memory."""


class RobotsTxtParams(Archives):
    """Where the rules are, and which crawlers they are checked for."""

    path: Path | None = Field(
        default=None, description="WARC archives with robots.txt files, or a folder of HOST/robots.txt files"
    )
    agents: tuple[str, ...] = Field(
        default=TRAINING,
        min_length=1,
        description="user agents of crawlers that collect training data; a page forbidden to any of them is dropped "
        "(ours)",
    )
    index: Path | None = Field(default=None, description="parsed rules, written by a build; not set in a recipe")


class RobotsTxt:
    """Drops documents that the rules of their site forbid."""

    VERSION = 1

    def __init__(self, params: RobotsTxtParams) -> None:
        assert params.index is not None, "the rules are read by `prepare`"
        self.agents, self.index = params.agents, f"{params.index.resolve().as_uri()}?mode=ro&immutable=1"

    @staticmethod
    def inputs(params: RobotsTxtParams) -> object:
        """Checksums of local archives, addresses of remote ones."""
        return identities(params, WHERE, (*SUFFIXES, ROBOTS))

    @staticmethod
    def prepare(params: RobotsTxtParams, folder: Path) -> RobotsTxtParams:
        """Collects all rules in one file in `folder`, unless it exists."""
        installed("protego", WHERE)
        path = folder / INDEX
        if not path.exists():
            replace(path, lambda temporary: _write(temporary, params))
        return params.model_copy(update={"index": path})

    def __call__(self, document: Document) -> Document | Reject:
        address = str(document.meta.get("url") or "")
        site = site_of(address)
        if not site:
            return Reject("no address (meta.url) to ask robots.txt about")
        rules = _rules(self.index, site)
        if rules is not None:
            for agent in self.agents:
                if not rules.can_fetch(address, agent):
                    return Reject(f"robots.txt: {agent}")
        return document


@lru_cache(maxsize=HOSTS)
def _rules(index: str, site: str) -> Protego | None:
    """The rules of a site; None if it has none."""
    from protego import Protego

    with closing(sqlite3.connect(index, uri=True)) as rules:
        row = rules.execute("SELECT rules FROM robots WHERE site = ?", (site,)).fetchone()
    return Protego.parse(row[0]) if row else None


def site_of(address: str) -> str:
    """The host of an address, with its port unless it is the default; "" if there is none."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return ""
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.hostname or ''}{f':{port}' if port not in (None, usual) else ''}"


def _write(path: Path, params: RobotsTxtParams) -> None:
    with closing(sqlite3.connect(path)) as index, index:
        index.execute("CREATE TABLE robots (site TEXT PRIMARY KEY, rules TEXT) WITHOUT ROWID")
        index.executemany("INSERT OR REPLACE INTO robots VALUES (?, ?)", _all_rules(params))


def _all_rules(params: RobotsTxtParams) -> Iterator[tuple[str, str]]:
    """(site, rules) from all inputs; later ones override."""
    for name, address in archives(params, WHERE, (*SUFFIXES, ROBOTS)):
        try:
            for host, rules in read_archive(address, params.storage, _reader(address), WHERE):
                yield site_of(host), rules
        except (OSError, EOFError) as error:
            raise KormoError(
                where=WHERE,
                found=name,
                why=f"its rules cannot be parsed, so what they forbid is unknown: {in_words(error)}",
                do="download it again, or remove it",
            ) from None


def _reader(address: str) -> Callable[[BinaryIO], Iterator[tuple[str, str]]]:
    """The parser for a rules file: an archive, or the robots.txt of the host after which its folder is named."""
    if not address.lower().endswith(ROBOTS):
        return robots_records
    host = address.split("/")[-2] if "://" in address else Path(address).resolve().parent.name
    if "." not in host:
        raise KormoError(
            where=WHERE,
            found=address,
            why="its path does not contain the host of its site",
            do=f"put it into a folder named after the host (robots/example.com/{ROBOTS})",
        )

    def one(stream: BinaryIO) -> Iterator[tuple[str, str]]:
        """The address of robots.txt and its text, truncated to `ROBOTS_BYTES` bytes."""
        yield f"https://{host}/{ROBOTS}", stream.read(ROBOTS_BYTES).decode("utf-8", "replace")

    return one
