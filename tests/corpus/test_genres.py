"""Songs, exams, chats, subtitles, scripture, reports in noun style: the Korean stack keeps them as they are."""

from __future__ import annotations

import random

import pytest

from kormo_plugins.corpus.steps.heuristics.genres import is_verse, without_stamps
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.plugins.registry import Registry

from .marked_text import genre_documents

STACK = ("normalize", "mojibake", "html", "errors", "length", "language", "repetition", "korean", "personal_data")
GENRES = genre_documents()


def through(components: Registry, text: str) -> Document | Reject:
    """The stack with its defaults."""
    document = Document("d", text, language="ko")
    for name in STACK:
        values = {"keep": ["ko", "en", "mul"]} if name == "language" else {}
        result = components.load("corpus_step", name)(components.params("corpus_step", name, values))(document)
        if isinstance(result, Reject):
            return Reject(f"{name}: {result.reason}")
        document = result
    return document


@pytest.mark.parametrize("name", GENRES)
def test_genres_stay(components: Registry, name: str) -> None:
    assert through(components, GENRES[name]) == Document("d", GENRES[name], language="ko")


@pytest.mark.parametrize("name", GENRES)
def test_the_same_text_in_a_loop_goes(components: Registry, name: str) -> None:
    lines = [line for line in GENRES[name].split("\n") if line.strip()]
    looped = "\n".join(line for line in lines[: max(3, len(lines) // 3)] for _ in range(4))
    assert isinstance(through(components, looped), Reject)


def test_stamps_go_from_the_measure_and_glossaries_stay() -> None:
    assert without_stamps("[지민] [오후 3:12] 뭐 해?\n[하준] [오후 3:12] 자") == "뭐 해?\n자"
    assert without_stamps("2022년 11월 3일 오전 9:01, 엄마 : 일어났니") == "일어났니"
    assert without_stamps("1\n00:00:01,000 --> 00:00:03,500\n어디 가?").strip() == "어디 가?"
    glossary = "사과: 과일\n배: 과일\n무: 채소\n파: 채소\n쌀: 곡식"
    assert without_stamps(glossary) == glossary


def test_a_menu_is_no_verse_for_the_stack(components: Registry) -> None:
    dice = random.Random(0)
    entries = "홈 회사소개 제품 고객센터 공지사항 자료실 채용 로그인 회원가입 장바구니 사이트맵 검색 이벤트 리뷰 쿠폰"
    words = entries.split()
    menu = "\n".join(" ".join(dice.choices(words, k=2)) for _ in range(30))
    assert isinstance(through(components, menu), Reject) and is_verse(menu.split("\n"))
