"""Books, whose chapters tell of one world, and reasoning between its marks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kormo_plugins.corpus.steps.wrap_think import WrapThink, WrapThinkParams
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.embedded.books import generate, write_book
from kormo_plugins.embedded.params import BooksParams
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.store.corpus_files import read_corpus

from .conftest import Build


@pytest.mark.parametrize("language", ["ko", "en", "mul"])
def test_the_library_is_the_same_however_it_is_divided(language: str) -> None:
    params = BooksParams.model_validate({"language": language, "megabytes": 0.6, "characters": [2000, 4000]})
    whole = {d.id: d.text for d in generate(params)}
    parts = [d for shard in range(3) for d in generate(params, shard, 3)]
    assert {d.id: d.text for d in parts} == whole and len(parts) == len(whole) > 10
    assert sum(len(text.encode()) for text in whole.values()) == pytest.approx(0.6e6, rel=0.06)
    assert len(set(whole.values())) == len(whole)
    assert all(d.synthetic and d.generator == "embedded_books" and d.language == language for d in parts)


def test_a_book_is_as_long_as_asked_and_ends_where_it_began() -> None:
    params = BooksParams(language="ko", characters=(3000, 6000))
    for number in range(12):
        text = write_book(params, number)
        assert 3000 <= len(text) <= 8000
        chapters = [int(chapter) for chapter in re.findall(r"^제(\d+)장$", text, re.MULTILINE)]
        assert chapters == list(range(1, len(chapters) + 1)) and len(chapters) >= 3
        town = text.rsplit("\n", 1)[1].removesuffix(", 끝")
        assert town in text[: len(text) // 2]  # the end asks for what the beginning has said


def test_bounds_in_the_wrong_order_are_told(components: Registry) -> None:
    with pytest.raises(Exception, match="shorter bound first"):
        components.params("generator", "embedded_books", {"language": "ko", "characters": [9, 3]})


def _wrapped(text: str, reasoning: str | None = None, **meta: str) -> Document | Reject:
    return WrapThink(WrapThinkParams(reasoning=reasoning))(Document("d", text, meta=dict(meta)))


def test_what_is_wrapped_and_what_is_refused() -> None:
    whole = _wrapped("셋에 넷을 더한다.\n")
    assert isinstance(whole, Document) and whole.text == "<think>\n셋에 넷을 더한다.\n</think>"
    kept = _wrapped("<think>\n셋\n</think>\n\n일곱")
    assert isinstance(kept, Document) and kept.text == "<think>\n셋\n</think>\n\n일곱"
    opened = _wrapped("셋\n</think>\n\n일곱")
    assert isinstance(opened, Document) and opened.text == kept.text
    apart = _wrapped("일곱\n", "why", why=" 셋에 넷 ")
    assert isinstance(apart, Document) and apart.text == "<think>\n셋에 넷\n</think>\n\n일곱"
    for text in (
        "<think> open",
        "</think>",
        "\n</think>a",
        "a</think>b</think>",
        "</think><think>",
        "<think><think></think></think>",
    ):
        assert _wrapped(text) == Reject("marks of thought that do not match")
    assert _wrapped("일곱", "why") == Reject("no reasoning in the column 'why'")
    assert _wrapped("일곱", "why", why="a </think> b") == Reject("marks of thought inside the reasoning")


def test_wrapping_twice_is_wrapping_once(build: Build, tmp_path: Path) -> None:
    source = {"language": "ko", "generator": {"name": "embedded", "language": "ko", "megabytes": 0.05}}
    once = build(source, ({"name": "wrap_think"},), "once")
    build(source, ({"name": "wrap_think"}, {"name": "wrap_think"}), "twice")
    texts = [[d.text for d in read_corpus(tmp_path / name)] for name in ("once", "twice")]
    assert texts[0] == texts[1] and len(texts[0]) == once["documents"]
    assert all(text.startswith("<think>\n") and text.endswith("\n</think>") for text in texts[0])
