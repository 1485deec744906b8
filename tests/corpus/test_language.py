"""Languages of short lines and of whole texts, what is passed over, and what other people's models say."""

from __future__ import annotations

import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from kormo_plugins.corpus.steps.languages import kernel, models
from kormo_plugins.corpus.steps.languages.identify import NAMES, identify_all
from kormo_plugins.corpus.steps.languages.language import Language, LanguageParams, identify
from kormo_plugins.corpus.steps.languages.names import LANGUAGES
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError

from .marked_lines import documents, lines

KOREAN = "이것은 코드가 아닌 문장이다. 사람이 읽으라고 쓴 글이다."


def test_lines_and_documents_of_twelve_languages() -> None:
    """Measured: 0.994 of 2,040 lines; all documents."""
    marked = lines()
    found = identify_all(text for text, _ in marked)
    assert found == [identify(text) for text, _ in marked]
    right = Counter(language for (_, language), said in zip(marked, found, strict=True) if said == language)
    assert right.total() / len(marked) >= 0.99 and min(right.values()) / 170 >= 0.95, right
    assert {identify(text) == language for text, language in documents()} == {True}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("東京都千代田区丸の内", "ja"),
        ("渋谷駅周辺図", "ja"),
        ("臺灣大學圖書館", "zh-Hant"),
        ("中华人民共和国", "zh"),
        ("한국어 문서에 English terms are mixed like this sometimes", "ko"),
        ("Ένα μικρό βιβλίο", "el"),
        ("كتاب صغير عن المدينة", "ar"),
        ("Kim Samsung LG Naver", "und"),
        ("", "und"),
        ("3.14 × 10⁸ − 42", "und"),
        ("ko\ud800rean text with a lone surrogate that nobody can write", "en"),
    ],
)
def test_what_letters_say(text: str, code: str) -> None:
    assert identify(text) == code


@pytest.mark.parametrize(
    "code",
    [
        "\n```python\nfor the_name in and_of_that: return is_the_of and_in\n```\n",
        "\n~~~~\nthe and of that is in for with on as be\n```\nby from\n~~~~\n",
        " `the and of that is in for with on as be are this by from it or was an at` ",
        " <div class='the and of that is in for with on as be are this by from it'> ",
        " https://example.org/the/and/of/that/is/in/for/with/on/as/be/are/this/by/from ",
        " [글](https://example.org/the-and-of-that-is-in-for-with-on-as-be-are-this) ",
    ],
)
def test_code_and_addresses_are_passed_over(code: str) -> None:
    assert identify(f"{KOREAN[:20]}{code * 9}", minority=0.45) == "ko"


def test_korean_in_unmatched_fences_is_prose() -> None:
    assert identify(f"```\n{KOREAN}\n```") == "ko"
    assert identify(f"English words are before it.\n```\n{KOREAN * 3}") == "ko"


@pytest.mark.parametrize("piece", ["`", "<a", "](", "```\n", "http://", "가`", "<", " ~~~\n"])
def test_no_text_takes_more_than_its_length(piece: str) -> None:
    """Ten times the text takes about ten times as long, whatever it is made of."""
    import time

    times = []
    for size in (100_000, 1_000_000):
        text = piece * (size // len(piece))
        identify(text)
        begin = time.process_time()
        identify(text)
        times.append(time.process_time() - begin)
    assert times[1] < 0.5 or times[1] < 40 * times[0], times


def test_names_are_in_step_with_the_kernel() -> None:
    assert (kernel.LANGUAGES, NAMES[kernel.KO], NAMES[kernel.ZH_HANT]) == (len(LANGUAGES), "ko", "zh-Hant")
    assert len(NAMES) == kernel.ZH_HANT + 1
    weights = np.random.default_rng(0).integers(-127, 128, (1 << kernel.BUCKET_BITS, kernel.LANES)).astype(np.int8)
    rows = np.random.default_rng(1).integers(0, len(weights), 1000)
    sums = np.zeros(kernel.LANES, np.int64)
    kernel.add(rows, len(rows), kernel.packed(weights), sums)
    assert sums.tolist() == weights[rows].sum(axis=0, dtype=np.int64).tolist()


def test_a_language_kept_is_its_variants_too() -> None:
    step = Language(LanguageParams(keep=("zh",)))
    document = step(Document("", "昨天買的相機已經壞了，所以我把它送到維修店。"))
    assert isinstance(document, Document) and document.language == "zh-Hant"
    assert step(Document("", KOREAN)) == Reject("language ko")


@pytest.mark.parametrize("code", ["korean", "mixed", "kr", "kor", "KO", "zh_Hant"])
def test_a_language_that_no_document_would_have_is_refused(code: str) -> None:
    with pytest.raises(ValidationError, match="not a language code"):
        LanguageParams(keep=("ko", code))


def test_every_language_that_is_told_may_be_kept() -> None:
    LanguageParams(keep=tuple(name for name in NAMES if name not in ("latin", "hangul", "kana", "han", "cyrillic")))


def test_labels_of_other_models() -> None:
    labels = ["__label__kor_Hang", "__label__ko", "__label__cmn_Hani", "__label__zho_Hant", "__label__khk_Cyrl"]
    assert list(map(models.code_of, labels)) == ["ko", "ko", "zh", "zh-Hant", "mn"]


def test_eldc_is_asked_about_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    models._eldc.cache_clear()
    monkeypatch.setitem(sys.modules, "eldc", SimpleNamespace(init=lambda: None, detect=lambda text: "pt"))
    step = Language(LanguageParams(engine="eldc"))
    asked = {text: step(Document("", text)) for text in ("Seguir mi pedido", KOREAN, "Маш их баярлалаа, сайн байна уу")}
    assert [one.language for one in asked.values() if isinstance(one, Document)] == ["pt", "ko", "mn"]
    models._eldc.cache_clear()
    monkeypatch.setitem(sys.modules, "eldc", None)
    with pytest.raises(KormoError, match="eldc"):
        Language.inputs(LanguageParams(engine="eldc"))
    models._eldc.cache_clear()
