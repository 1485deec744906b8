"""From HTML to text: character sets, opt-outs, title and date, and the main text of Korean pages marked by hand."""

from __future__ import annotations

import pytest

from kormo_plugins.corpus.extract.charset import decode
from kormo_plugins.corpus.extract.extractors import EXTRACTORS, installed
from kormo_plugins.corpus.extract.metadata import date_of, title_of
from kormo_plugins.corpus.extract.opt_out import opted_out
from kormo_plugins.corpus.steps.web.extract import Extract, ExtractParams
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError

from .marked_text import kept_words, marked_pages

pytest.importorskip("resiliparse", reason="the extra `crawl` is not installed")

TEXT = "안녕하세요. 똠방각하와 펲시맨이 찦차를 타고 왔다."  # letters of cp949 that EUC-KR has not


@pytest.mark.parametrize(
    ("charset", "header", "meta", "name", "said_by"),
    [
        ("utf-8", "utf-8", "", "utf-8", "header"),
        ("utf-8", "", "utf-8", "utf-8", "meta"),
        ("cp949", "euc-kr", "", "cp949", "header"),
        ("cp949", "", "ks_c_5601-1987", "cp949", "meta"),
        ("cp949", "EUC-KR", "utf-8", "cp949", "header"),
        ("cp949", "iso-8859-1", "", "cp949", "bytes"),  # a server's default
        ("cp949", "utf-8", "", "cp949", "bytes"),
        ("utf-8", "euc-kr", "", "utf-8", "bytes"),
        ("utf-8", "iso-8859-1", "utf-8", "utf-8", "meta"),
        ("utf-8", "", "", "utf-8", "bytes"),
        ("cp949", "", "", "cp949", "bytes"),
        ("cp949", "nonsense", "", "cp949", "bytes"),
        ("utf-8", "", "utf-16", "utf-8", "meta"),  # a tag that could be read
        ("utf-16-le", "utf-16le", "", "utf-16-le", "header"),
    ],
)
def test_character_sets(charset: str, header: str, meta: str, name: str, said_by: str) -> None:
    tag = f'<meta charset="{meta}">' if meta else ""
    page = f"<html><head>{tag}</head><body><p>{TEXT}</p></body></html>"
    found = decode(page.encode(charset), f"text/html; charset={header}" if header else "text/html")
    assert (found.text, found.charset, found.said_by, found.lost) == (page, name, said_by, 0)


def test_byte_order_marks_and_single_bytes() -> None:
    assert decode("\ufeff글".encode()).text == "글" and decode("\ufeff글".encode("utf-16-le")).said_by == "bom"
    french = "<p>Où est le café de la forêt ?</p>"
    assert decode(french.encode("latin-1"), "text/html; charset=iso-8859-1").text == french


def test_one_broken_letter_does_not_change_the_character_set() -> None:
    body = (TEXT * 20).encode("cp949") + b"\xff" + TEXT.encode("cp949")
    found = decode(body, "text/html; charset=euc-kr")
    assert found.charset == "cp949" and found.lost == 1


@pytest.mark.parametrize(
    ("headers", "html", "tokens", "rule"),
    [
        ({"x-robots-tag": "noai, noimageai"}, "", ("noai",), "noai"),
        ({"x-robots-tag": "otherbot: NOAI"}, "", ("noai",), "noai"),
        ({"tdm-reservation": "1"}, "", ("noai", "tdm-reservation"), "tdm-reservation"),
        ({"tdm-reservation": "0"}, "", ("noai", "tdm-reservation"), ""),
        ({}, "<meta name=robots content='index, noai'>", ("noai",), "noai"),
        ({}, '<meta content="noai" name="GPTBot">', ("noai",), "noai"),
        ({}, '<meta name="tdm-reservation" content="1">', ("tdm-reservation",), "tdm-reservation"),
        ({}, '<meta name="robots" content="noindex">', ("noai",), ""),
        ({}, '<meta name="robots" content="noindex">', ("noindex",), "noindex"),
        ({}, '</head><p>쓰는 법: <meta name="robots" content="noai">', ("noai",), ""),  # a page that speaks of it
        ({"x-robots-tag": "noai"}, "", (), ""),
    ],
)
def test_opt_outs(headers: dict[str, str], html: str, tokens: tuple[str, ...], rule: str) -> None:
    assert opted_out(headers, html, tokens) == rule


def test_title_and_date() -> None:
    head = '<title>제목 &amp; 글\n - 신문</title><meta property="article:published_time" content="2023-05-11T09:12">'
    assert title_of(head) == "제목 & 글 - 신문" and date_of(head) == "2023-05-11"
    assert title_of(f'{head}<meta property="og:title" content="제목">') == "제목"
    assert date_of('<script>{"datePublished": "20230511"}</script>') == "2023-05-11"
    assert date_of('<meta name="date" content="2023-13-41"><time datetime="2022-01-02">') == "2022-01-02"
    assert title_of("<p>글") == date_of("<p>글") == ""


@pytest.mark.parametrize(("extractor", "least"), [("resiliparse", 0.80), ("trafilatura", 0.70)])
def test_the_main_text_of_korean_pages(extractor: str, least: float) -> None:
    pages = marked_pages()
    assert len(pages) >= 40
    found = [kept_words(EXTRACTORS[extractor](page.html, True), page.wanted) for page in pages]
    precision, recall, f1 = (sum(column) / len(pages) for column in zip(*found, strict=True))
    print(f"{extractor}: precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f} on {len(pages)} pages")
    assert f1 >= least


def test_the_step_takes_pages_and_leaves_texts() -> None:
    step = Extract(ExtractParams())
    page = marked_pages()[0]
    document = step(Document("d", page.html, meta={"mime": "text/html", "crawled": "2024-01-01T00:00:00Z"}))
    assert isinstance(document, Document) and "이음매" in document.text and "회사소개" not in document.text
    assert document.meta["title"] == "한강 다리 보수 공사 내달 시작" and document.meta["date"] == "2023-05-11"
    undated = step(Document("d", "<p>글이다.</p>", meta={"mime": "text/html", "crawled": "2024-01-01T00:00:00Z"}))
    assert isinstance(undated, Document) and undated.meta["date"] == "2024-01-01"
    text = "a<b 이고 c>d 이다."
    assert step(Document("d", text, meta={"mime": "text/plain"})) == Document("d", text, meta={"mime": "text/plain"})
    assert step(Document("d", "<html><script>x</script></html>")) == Reject("no main text")


def test_a_library_that_is_not_there_is_named() -> None:
    with pytest.raises(KormoError, match=r"kormo-plugins\[crawl\]"):
        installed("no-such-library", "step extract")
