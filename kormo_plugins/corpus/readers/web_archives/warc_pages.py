"""Converts the records of a web archive to documents, or to rejects with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecord

from kormo_plugins.corpus.extract.charset import decode
from kormo_plugins.corpus.extract.opt_out import opted_out
from kormo_plugins.corpus.readers.web_archives.warc_stream import WholeArchive
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.document import Document

PAGES = ("response", "resource", "conversion", "revisit")
"""Record types that are pages, or texts of pages (WET); others are requests and metadata."""
MIMES = ("text/html", "application/xhtml+xml", "text/plain")
SUCCESS = "200"
ROBOTS_BYTES = 500 << 10
"""Bytes of a robots.txt that are evaluated (RFC 9309, 2.5)."""
NOTHING_ALLOWED = "User-agent: *\nDisallow: /\n"


def pages(stream: BinaryIO, archive: str, opt_out: tuple[str, ...], max_bytes: int) -> Iterator[Document | Rejected]:
    """A document or a reject for every page of an archive.

    Args:
        stream: of a WARC, WET or ARC file, plain, gzip or zstd.
        archive: its name, used for records without an id.
        opt_out: rules for which a page is rejected.
        max_bytes: maximum size of a page in bytes.
    Raises:
        OSError: the archive is damaged or truncated; raised after everything readable was yielded.
    """
    number = 0
    try:
        for record in ArchiveIterator(WholeArchive(stream), arc2warc=True):
            if record.rec_type in PAGES:
                number += 1
                yield _page(record, f"{archive}:{number}", opt_out, max_bytes)
    except ArchiveLoadFailed as error:
        raise OSError(f"damaged archive: {str(error).strip().splitlines()[0]}") from None


def _page(record: ArcWarcRecord, place: str, opt_out: tuple[str, ...], max_bytes: int) -> Document | Rejected:
    def said(name: str) -> str:
        """A header of the record; "" if absent."""
        return str(record.rec_headers.get_header(name) or "")

    name = (said("WARC-Record-ID") or place).removeprefix("<").removeprefix("urn:uuid:").removesuffix(">")
    document = Document(id=name, text="", meta={"url": said("WARC-Target-URI"), "crawled": said("WARC-Date")})
    if record.rec_type == "revisit":
        return Rejected(document, "revisit of a page that has not changed")
    if is_robots_txt(document.meta["url"]):
        return Rejected(document, "robots.txt, not a page")
    http = _http(record)
    status = record.http_headers.get_statuscode() if record.http_headers else SUCCESS
    if status != SUCCESS:
        return Rejected(document, f"status {status}")
    content_type = http.get("content-type") or said("Content-Type")
    mime = content_type.partition(";")[0].strip().lower() or "text/html"
    document.meta["mime"] = mime
    if mime not in MIMES:
        return Rejected(document, f"not a page ({mime.partition('/')[0]})")
    body = _body(record, max_bytes)
    if len(body) > max_bytes:
        return Rejected(document, "larger than `max_bytes`")
    decoded = decode(body, content_type)
    document.text, document.meta["charset"] = decoded.text, decoded.charset
    if not decoded.text.strip():
        return Rejected(document, "empty page")
    rule = opted_out(http, decoded.text, opt_out) if opt_out else ""
    return Rejected(document, f"opt-out: {rule}") if rule else document


def robots_records(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    """(address, rules) of every robots.txt in an archive, without its pages.

    Responses are interpreted as in RFC 9309 (2.3.1): a missing file (4xx) means no rules, and a server error (5xx)
    means that nothing is allowed.

    Raises:
        OSError: the archive is damaged or truncated; raised after everything readable was yielded.
    """
    try:
        for record in ArchiveIterator(WholeArchive(stream), arc2warc=True):
            address = str(record.rec_headers.get_header("WARC-Target-URI") or "")
            if record.rec_type not in ("response", "resource") or not is_robots_txt(address):
                continue
            status = str(record.http_headers.get_statuscode() if record.http_headers else SUCCESS)
            if status == SUCCESS:
                yield address, _body(record, ROBOTS_BYTES)[:ROBOTS_BYTES].decode("utf-8", "replace")
            elif status.startswith("5"):
                yield address, NOTHING_ALLOWED
    except ArchiveLoadFailed as error:
        raise OSError(f"damaged archive: {str(error).strip().splitlines()[0]}") from None


def is_robots_txt(address: str) -> bool:
    """Whether an address is that of a site's robots.txt."""
    return address.endswith("/robots.txt") and address.count("/") == 3


def _body(record: ArcWarcRecord, max_bytes: int) -> bytes:
    """The response body, with transfer and content encodings removed; at most one byte more than `max_bytes`."""
    stream, pieces, size = record.content_stream(), [], 0
    while size <= max_bytes and (piece := stream.read(max_bytes + 1 - size)):
        pieces.append(piece)
        size += len(piece)
    rest = record.raw_stream
    if size <= max_bytes and rest.limit > 0 and not rest.read(1):  # the record announces more bytes
        raise OSError("the archive ends too early")
    return b"".join(pieces)


def _http(record: ArcWarcRecord) -> dict[str, str]:
    """The headers of the response; lower-case names, repeated values joined."""
    fields: dict[str, str] = {}
    for key, value in record.http_headers.headers if record.http_headers else ():
        name = str(key).lower()
        fields[name] = f"{fields[name]}, {value}" if name in fields else str(value)
    return fields
