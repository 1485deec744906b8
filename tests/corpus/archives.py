"""Web archives for tests, written in memory."""

from __future__ import annotations

import io

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter


class Archive:
    """A WARC in memory."""

    def __init__(self, compressed: bool = True) -> None:
        self.file = io.BytesIO()
        self.writer = WARCWriter(self.file, gzip=compressed)

    def page(self, url: str, body: bytes, mime: str = "text/html; charset=utf-8", status: str = "200 OK",
             **headers: str) -> Archive:  # fmt: skip
        """Adds a response."""
        given = [("Content-Type", mime), *((name.replace("_", "-"), value) for name, value in headers.items())]
        http = StatusAndHeaders(status, given, protocol="HTTP/1.1")
        record = self.writer.create_warc_record(url, "response", payload=io.BytesIO(body), http_headers=http)
        self.writer.write_record(record)
        return self

    def record(self, url: str, kind: str, body: bytes, mime: str = "text/plain") -> Archive:
        """Adds any other record."""
        record = self.writer.create_warc_record(
            url, kind, payload=io.BytesIO(body), warc_content_type=mime, length=len(body)
        )
        self.writer.write_record(record)
        return self

    @property
    def data(self) -> bytes:
        return self.file.getvalue()
