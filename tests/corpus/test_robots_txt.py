"""The step `robots_txt`: pages that their site keeps from crawlers of models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.corpus.steps.web.robots_txt import RobotsTxtParams, site_of
from kormo_plugins.errors import KormoError
from kormo_plugins.store.corpus_files import read_corpus

from .archives import Archive

pytest.importorskip("protego", reason="the extra `crawl` is not installed")
Build = Callable[..., dict[str, Any]]
GPT = b"User-agent: GPTBot\nDisallow: /\n\nUser-agent: *\nAllow: /\n"
PART = b"User-agent: *\nDisallow: /private/\nAllow: /private/open$\nDisallow: /*.pdf$\n"
OTHER = b"User-agent: SomeSearch\nDisallow: /\n"


def rules(path: Path) -> Path:
    """An archive of rules with pages among them, and a file of one site."""
    (path / "d.kr").mkdir(parents=True)
    made = Archive()
    made.page("https://a.kr/robots.txt", GPT, "text/plain").page("https://a.kr/1", b"<p>a page")
    made.page("http://b.kr/robots.txt", PART, "application/octet-stream")
    made.page("https://c.kr:8443/robots.txt", b"oops", status="503 Unavailable")
    made.page("https://e.kr/robots.txt", b"gone", status="404 Not Found")
    made.page("https://f.kr/robots.txt", OTHER, "text/html")
    (path / "robots.warc.gz").write_bytes(made.data)
    (path / "d.kr" / "robots.txt").write_bytes(GPT)
    return path


FATES = {
    "https://a.kr/x": "robots.txt: GPTBot",
    "https://www.a.kr/x": "",  # another site
    "https://b.kr/private/x": "robots.txt: GPTBot",  # by the rules for everybody
    "https://b.kr/private/open": "",
    "https://b.kr/a/b.pdf": "robots.txt: GPTBot",
    "https://b.kr/a": "",
    "https://c.kr:8443/x": "robots.txt: GPTBot",  # a server that fails allows nothing
    "https://c.kr/x": "",
    "http://d.kr:80/x": "robots.txt: GPTBot",
    "https://e.kr/x": "",
    "https://f.kr/x": "",
    "https://g.kr/x": "",
    "": "no address (meta.url) to ask robots.txt about",
}


@pytest.mark.parametrize("workers", [1, 2])
def test_pages_go_by_the_rules_of_their_site(tmp_path: Path, build: Build, workers: int) -> None:
    rows = "\n".join(json.dumps({"id": url or "none", "text": f"글 {url}", "url": url}) for url in FATES)
    (tmp_path / "pages.jsonl").write_text(rows, encoding="utf-8")
    reader = {"name": "jsonl", "path": str(tmp_path / "pages.jsonl"), "columns": {"keep": ["url"]}}
    steps = ({"name": "robots_txt", "path": str(rules(tmp_path / "robots"))},)
    stats = build({"reader": reader, "parts": 2}, steps=steps, held_out={"documents": 0}, workers=workers)
    assert {document.id for document in read_corpus(tmp_path / "out")} == {url for url, why in FATES.items() if not why}
    assert stats["steps"][1]["rejects"] == Counter(why for why in FATES.values() if why)


def test_other_crawlers_may_be_asked_about(tmp_path: Path, build: Build) -> None:
    archive = tmp_path / "pages.warc.gz"
    archive.write_bytes(Archive().page("https://f.kr/1", "<p>글이다.".encode()).page("https://g.kr/1", b"<p>x").data)
    step = {"name": "robots_txt", "path": str(rules(tmp_path / "robots")), "agents": ["SomeSearch"]}
    stats = build({"reader": {"name": "warc", "path": str(archive)}}, steps=(step,), held_out={"documents": 0})
    assert stats["documents"] == 1 and stats["steps"][1]["rejects"] == {"robots.txt: SomeSearch": 1}


def test_rules_that_cannot_be_read_are_one_message(tmp_path: Path, build: Build) -> None:
    (tmp_path / "pages.jsonl").write_text('{"text": "글"}', encoding="utf-8")
    source = {"reader": {"name": "jsonl", "path": str(tmp_path / "pages.jsonl")}}
    folder = rules(tmp_path / "robots")
    (folder / "robots.warc.gz").write_bytes((folder / "robots.warc.gz").read_bytes()[:-9])
    with pytest.raises(KormoError, match="what they forbid is unknown"):
        build(source, steps=({"name": "robots_txt", "path": str(folder)},))
    (tmp_path / "robots.txt").write_bytes(GPT)
    with pytest.raises(KormoError, match="does not contain the host of its site"):
        build(source, steps=({"name": "robots_txt", "path": str(tmp_path / "robots.txt")},), out="second")
    with pytest.raises(ValueError, match="exactly one of path and urls"):
        RobotsTxtParams()


def test_sites() -> None:
    assert site_of("HTTPS://user@A.kr:443/x") == "a.kr" and site_of("http://a.kr:8080/") == "a.kr:8080"
    assert site_of("no address") == site_of("http://a.kr:x/") == ""
