"""The reader `warc`: archives as crawlers write them, damaged ones, and lists of addresses."""

from __future__ import annotations

import gzip
import http.server
import io
import random
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
import yaml
import zstandard

from kormo_plugins.corpus.readers.web_archives import warc as warc_module
from kormo_plugins.corpus.readers.web_archives.warc import WarcParams, warc
from kormo_plugins.corpus.readers.web_archives.warc_pages import pages
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError
from kormo_plugins.store.corpus_files import read_corpus

from .archives import Archive
from .marked_text import marked_pages

pytest.importorskip("resiliparse", reason="the extra `crawl` is not installed")
Build = Callable[..., dict[str, Any]]


def crawl(compressed: bool = True) -> Archive:
    """Pages of every kind."""
    made = Archive(compressed)
    made.page("http://a.kr/1", "<title>하나</title><p>첫째 글이다.".encode())
    made.page("http://a.kr/2", "<p>둘째 글이다.".encode("cp949"), "text/html; charset=euc-kr")
    made.page("http://a.kr/3", gzip.compress("<p>셋째 글이다.".encode()), Content_Encoding="gzip")
    made.page("http://a.kr/4", b"4\r\n<p>x\r\n0\r\n\r\n", Transfer_Encoding="chunked")
    made.page("http://a.kr/5", b"\x89PNG", "image/png")
    made.page("http://a.kr/6", b"gone", status="404 Not Found")
    made.page("http://a.kr/7", "<p>숨은 글".encode(), X_Robots_Tag="noai")
    made.page("http://a.kr/8", b"   ")
    made.page("http://a.kr/9", b"<p>" + b"x" * 5000)
    made.record("http://a.kr/1", "request", b"GET / HTTP/1.1\r\n\r\n", "application/http; msgtype=request")
    return made.record("http://a.kr/10", "conversion", "열째 글이다.".encode())


def read(data: bytes, opt_out: tuple[str, ...] = ("noai",), max_bytes: int = 1000) -> list[Document | Rejected]:
    return list(pages(io.BytesIO(data), "w", opt_out, max_bytes))


@pytest.mark.parametrize("compressed", [True, False])
def test_every_page_is_a_document_or_says_why_not(compressed: bool) -> None:
    found = read(crawl(compressed).data)
    texts = [item.text for item in found if isinstance(item, Document)]
    assert texts == ["<title>하나</title><p>첫째 글이다.", "<p>둘째 글이다.", "<p>셋째 글이다.", "<p>x", "열째 글이다."]
    reasons = [item.reason for item in found if isinstance(item, Rejected)]
    assert reasons == ["not a page (image)", "status 404", "opt-out: noai", "empty page", "larger than `max_bytes`"]
    first = found[0]
    assert isinstance(first, Document) and first.meta["url"] == "http://a.kr/1" and first.meta["mime"] == "text/html"
    assert first.meta["crawled"].startswith("20") and len({getattr(i, "id", "") for i in found}) == 6


def test_opt_outs_can_be_left_out() -> None:
    assert sum(isinstance(item, Document) for item in read(crawl().data, opt_out=())) == 6


def test_the_rules_of_a_site_are_no_page() -> None:
    made = Archive().page("http://a.kr/robots.txt", b"User-agent: *", "text/plain").page("http://a.kr/1", b"<p>x")
    found = read(made.page("http://a.kr/about/robots.txt", b"prose", "text/plain").data)
    assert [isinstance(item, Document) for item in found] == [False, True, True]
    assert isinstance(found[0], Rejected) and found[0].reason == "robots.txt, not a page"


def test_zstd_archives() -> None:
    data = zstandard.ZstdCompressor().compress(crawl(compressed=False).data)
    assert len(read(data)) == 10


def test_an_archive_that_was_cut_anywhere_is_told() -> None:
    data = Archive().page("http://a.kr/1", b"<p>x").page("http://a.kr/2", b"<p>y").data
    border = data.index(b"\x1f\x8b", 2)
    for cut in range(2, len(data)):
        if cut != border:
            with pytest.raises(OSError, match="too early"):
                read(data[:cut])
    assert len(read(data)) == 2


@pytest.mark.parametrize(
    "data", [b"no archive at all\n" * 9, b"\x1f\x8bxxxxxxxxxxxxxxxxxxx", b"\x28\xb5\x2f\xfdxxxxxxxxx"]
)
def test_what_is_no_archive_is_told(data: bytes) -> None:
    with pytest.raises(OSError, match="damaged archive"):
        read(data)


def test_a_folder_of_archives_is_built_into_a_corpus(tmp_path: Path, build: Build) -> None:
    folder = tmp_path / "crawl"
    (folder / "2023").mkdir(parents=True)
    (folder / "2023" / "a.warc.gz").write_bytes(crawl().data)
    (folder / "b.warc").write_bytes(Archive(False).page("http://b.kr/1", "<p>다른 글이다.".encode()).data[:-9])
    (folder / "README.txt").write_text("not an archive")
    stats = build({"reader": {"name": "warc", "path": str(folder), "max_bytes": 1000}, "language": "ko"},
                  steps=({"name": "extract"},), held_out={"documents": 0})  # fmt: skip
    assert stats["documents"] == 5 and stats["parts"] == 2
    assert stats["steps"][0]["rejects"]["unreadable archive (the archive ends too early)"] == 1


def addresses(tmp_path: Path, names: list[str]) -> Path:
    path = tmp_path / "warc.paths"
    path.write_text("# a list\n" + "\n".join(names) + "\n", encoding="utf-8")
    return path


def test_a_list_of_addresses_is_read_over_fsspec(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    for name in ("crawl/a.warc.gz", "crawl/b.warc.gz"):
        store.pipe(f"/{name}", Archive().page(f"http://x.kr/{name}", "<p>글이다.".encode()).data)
    names = ["crawl/a.warc.gz", "crawl/missing.warc.gz", "crawl/b.warc.gz"]
    params = WarcParams(urls=addresses(tmp_path, names), base="memory://")
    assert warc.parts(params) == 3
    found = [item for shard in range(3) for item in warc(params, shard, 3)]
    assert [item.reason if isinstance(item, Rejected) else item.meta["url"] for item in found] == [
        "http://x.kr/crawl/a.warc.gz", "no such archive", "http://x.kr/crawl/b.warc.gz",
    ]  # fmt: skip
    assert found == list(warc(params))  # whoever reads, and in how many parts


class _Breaks(io.BytesIO):
    """A connection that breaks once it has given `until` bytes."""

    def __init__(self, data: bytes, until: int) -> None:
        super().__init__(data)
        self.until = until

    def seekable(self) -> bool:
        return False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self.until:
            raise ConnectionResetError("reset by peer")
        return super().read(min(self.until - self.tell(), size if size and size > 0 else 1 << 20))


def test_a_connection_that_breaks_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Archive()
    for number in range(20):
        made.page(f"http://x.kr/{number}", f"<p>글 {number}".encode())
    limits = [len(made.data) // 3, len(made.data) // 2, len(made.data) + 1]
    opened: list[str] = []

    def fails(address: str, mode: str, **_: object) -> Any:
        opened.append(address)
        return SimpleNamespace(open=lambda: _Breaks(made.data, limits[min(len(opened), 3) - 1]))

    monkeypatch.setattr(fsspec, "open", fails)
    monkeypatch.setattr(warc_module.time, "sleep", lambda seconds: None)
    params = WarcParams(urls=addresses(tmp_path, ["https://x.kr/a.warc.gz"]))
    found = list(warc(params))
    assert [item.meta["url"] for item in found if isinstance(item, Document)] == [f"http://x.kr/{n}" for n in range(20)]
    limits[:] = [10, 10, 10]
    opened.clear()
    with pytest.raises(KormoError, match="run the same command again to resume"):
        list(warc(params))
    assert len(opened) == warc_module.TRIES


def test_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(KormoError, match="no such file"):
        warc.parts(WarcParams(path=tmp_path / "none"))
    with pytest.raises(KormoError, match="no archive"):
        warc.parts(WarcParams(path=tmp_path))
    with pytest.raises(ValueError, match="exactly one"):
        WarcParams()


def test_the_recipe_of_the_documentation_cleans_a_crawl(tmp_path: Path, build: Build) -> None:
    """The steps of docs/cleaning.md over the marked pages as an archive: most come through, without imprints."""
    page = (Path(__file__).parents[2] / "docs" / "cleaning.md").read_text("utf-8")
    recipe = yaml.safe_load(page.split("```yaml\n", 1)[1].split("```", 1)[0])
    made = Archive()
    for number, marked in enumerate(marked_pages()):
        made.page(f"http://made.kr/{number}", marked.html.encode())
    path = tmp_path / "a.warc.gz"
    path.write_bytes(made.data)
    stats = build({"reader": {"name": "warc", "path": str(path)}, "language": "ko"},
                  steps=tuple(recipe["steps"]), held_out={"documents": 0})  # fmt: skip
    kept = list(read_corpus(tmp_path / "out"))
    assert stats["documents"] == len(kept) >= 30
    assert all(document.meta["date"] for document in kept)
    assert sum("title" in document.meta for document in kept) >= 28  # some broken pages have none
    assert not any("무단 전재" in document.text or "청소년보호정책" in document.text for document in kept)


class _Ranges(http.server.BaseHTTPRequestHandler):
    """Archives as Common Crawl's server gives them: by ranges; every third answer is cut short."""

    data: bytes
    asked: list[str]
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: Any) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def do_GET(self) -> None:
        ranged = self.headers.get("Range", "")
        first, _, last = ranged.removeprefix("bytes=").partition("-")
        begin, end = int(first or 0), min(int(last or len(self.data)), len(self.data) - 1)
        self.asked.append(ranged)
        part = self.data[begin : end + 1]
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {begin}-{end}/{len(self.data)}")
        self.end_headers()
        if len(self.asked) % 3 == 0:
            self.wfile.write(part[: len(part) // 2])
            self.close_connection = True
        else:
            self.wfile.write(part)


def test_archives_of_a_server_that_gives_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by HTTP as Common Crawl is; broken answers are taken up again, and what was killed goes on."""
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(warc_module.time, "sleep", lambda seconds: None)
    made, draw = Archive(), random.Random(3)
    for number in range(60):  # noise, so that the archive is longer than a block of fsspec
        made.page(f"http://x.kr/{number}", f"<p>글 {number} {draw.randbytes(20_000).hex()}".encode())
    handler = type("Handler", (_Ranges,), {"data": made.data, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        base = f"http://127.0.0.1:{server.server_address[1]}/"
        params = WarcParams(
            urls=addresses(tmp_path, ["a.warc.gz", "b.warc.gz"]), base=base, storage={"block_size": 1 << 17}
        )
        found = [item for shard in range(2) for item in warc(params, shard, 2)]
    finally:
        server.shutdown()
        server.server_close()
    urls = [item.meta["url"] for item in found if isinstance(item, Document)]
    assert urls == [f"http://x.kr/{number}" for number in range(60)] * 2
    assert sum(asked.startswith("bytes=") for asked in handler.asked) > 4  # type: ignore[attr-defined]
