"""Compiled scans and patterns give the same, document by document: kept text, labels, and reasons of what goes.

`text_scan.steps_with` lets the steps use their patterns; everything here is done both ways.
"""

from __future__ import annotations

import json
import os
import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.corpus.scan import text_scan
from kormo_plugins.corpus.scan.dependents import expanded, rule_tables
from kormo_plugins.corpus.scan.text_scan import compiled, scan_of, steps_with
from kormo_plugins.corpus.steps.duplicates.boilerplate import without_boilerplate
from kormo_plugins.corpus.steps.heuristics.text import prose
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.plugins.registry import registry
from kormo_plugins.testing import TEXTS

from .builds import tree_hash
from .conftest import Build, write_rows

STEPS: tuple[tuple[str, dict[str, object]], ...] = (
    ("normalize", {}),
    ("normalize", {"blank_lines": 0, "collapse_spaces": True}),
    ("normalize", {"form": "NFKC"}),
    ("normalize", {"form": "none"}),
    ("mojibake", {}),
    ("mojibake", {"repair": False, "max_rare": 0.01, "max_lost": 0, "allowed_lost": 0}),
    ("html", {}),
    ("errors", {}),
    ("errors", {"max_line_length": 20, "max_removed": 1.0}),
    ("repetition", {}),
    ("repetition", {"verse": 0, "min_words": 3, "top": [[2, 0.02], [3, 0.01]], "repeated": [[2, 0.05], [5, 0.02]]}),
    ("korean", {}),
    ("korean", {"min_words": 2, "min_sentences": 0.6, "min_particles": 0.6, "max_symbols": 0.05, "chance": 0.5}),
    ("personal_data", {}),
)
_PIECES = (
    "`|``|```|~~~|\n```\n|   ```|<|>|&|;|:|：|[|]|(|)|-| |  |\t|\n|\n\n|\n\n\n\n|\u3000|\u200b|\u0301|\u1161|\ufffd|"
    "\u00a0|\r\n|http://|https://a|](|가|나다|이에|을|의|해|다|수|것|때|있다|없는|지|뷁|ꥴ|0|12|345|６７|@|.|#|/|x|Ã|«|ì•ˆ|"
    "O1O|·|－|error |404|로그인|다음글|목록| 추천|페이지를 찾을 수 없|쿠키|사용|ſ|K|İ|&amp;|&#39;|<br>|<script>|"
    "<ſcript>|</p>|<!-- |-->|<a href='b'>|]]>|<?xml|010-1234-5678|a@b.co|a@b닷com|(at)|[at]|"
    "골뱅이|1.2.3.4|2001:db8::1|여권|M12345678|면허|서울12-345678-90|일공|[가] [오전 10:12]|가: |나 : |"
    "1:23 <가>|--- 2024년 1월 2일|WEBVTT|<v 가>|2024. 1. 2. 오전 1:23, 가 : | 될 수| 할 것|을 위해|에 대해|"
    ". |다.|예정)|copyright (c)|\U0001f3f4|\r|\x1c|\u2028|\u2029|\u200d|\xad"
)
PIECES = _PIECES.split("|")


def outcome(step: Callable[[Document], Document | Reject], text: str) -> tuple[object, ...]:
    result = step(Document("d", text, language="ko", meta={"a": 1}))
    return (result.reason,) if isinstance(result, Reject) else (result.text, result.language, result.meta, result.id)


@pytest.fixture(scope="module", autouse=True)
def from_the_first_text_on() -> Iterator[None]:
    with steps_with(scans=True):
        yield


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, Callable[[Document], Document | Reject]]]:
    found: Any = registry()
    return [(name, found.load("corpus_step", name)(found.params("corpus_step", name, v))) for name, v in STEPS]


def check(steps: Sequence[tuple[str, Callable[[Document], Document | Reject]]], texts: Sequence[str]) -> None:
    assert compiled("")
    for text in texts:
        fast = [outcome(step, text) for _, step in steps] + [(prose(text),), (without_boilerplate(text, 3),)]
        with steps_with(scans=False):
            plain = [outcome(step, text) for _, step in steps] + [(prose(text),), (without_boilerplate(text, 3),)]
        for (name, _), ours, theirs in zip([*steps, ("prose", None), ("boilerplate", None)], fast, plain, strict=True):
            assert ours == theirs, (name, text)


def test_texts_of_pieces_that_steps_look_for(steps: list[tuple[str, Callable[[Document], Document | Reject]]]) -> None:
    dice = random.Random(0)
    check(steps, ["".join(dice.choices(PIECES, k=dice.randint(0, 60))) for _ in range(150)])
    check(steps, TEXTS)


@settings(deadline=None, max_examples=40)
@given(text=st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=80).map("".join)))
def test_any_text(steps: list[tuple[str, Callable[[Document], Document | Reject]]], text: str) -> None:
    check(steps, [text])


def test_embedded_text(steps: list[tuple[str, Callable[[Document], Document | Reject]]]) -> None:
    found: Any = registry()
    params = found.params("generator", "embedded", {"megabytes": 0.2})
    check(steps, [document.text for document in found.load("generator", "embedded")(params, 0, 1)][:120])


@pytest.fixture(scope="session")
def real_rows() -> Callable[[str], list[str]]:
    """The texts of a file of real documents; skips where there is none."""
    folder = Path(os.environ.get("KORMO_TEST_TEXT") or Path(__file__).parents[2] / "../shared/data")

    def load(name: str) -> list[str]:
        path = folder / f"{name}.jsonl"
        if not path.exists():
            pytest.skip(f"no real text at {path} (set KORMO_TEST_TEXT to a folder of JSONL)")
        rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        return [row.get("text") or row["premise"] for row in rows]

    return load


@pytest.mark.parametrize("name", ["tech_docs_ko", "rust_book_ko", "tech_docs_en", "tech_docs_ja", "klue_nli_dev"])
def test_real_text_whole_and_with_pieces_put_in(
    name: str, real_rows: Callable[[str], list[str]], steps: list[tuple[str, Callable[[Document], Document | Reject]]]
) -> None:
    texts, dice = real_rows(name), random.Random(name)
    check(steps, texts[:: max(1, len(texts) // 25)])
    for text in texts[:: max(1, len(texts) // 40)]:
        put = list(text[:800])
        for _ in range(dice.randint(1, 25)):
            put.insert(dice.randrange(len(put) + 1), dice.choice(PIECES))
        check(steps, ["".join(put)])


@settings(deadline=None)  # the first example compiles
@given(text=st.text())
def test_words_with_one_space_are_those_of_split(text: str) -> None:
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert scan_of(text).one_spaced.tobytes() == " ".join(text.split()).encode()


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_is_surely_composed_is(text: str) -> None:
    from kormo_plugins.corpus.scan.text_scan import is_composed

    assert not is_composed(text, "NFC") or unicodedata.is_normalized("NFC", text)


def test_every_character_that_is_sure_neither_changes_nor_composes() -> None:
    from kormo_plugins.corpus.scan.bits import UNSURE
    from kormo_plugins.corpus.scan.text_scan import character_bits

    sure = [chr(code) for code in np.flatnonzero((character_bits() & UNSURE) == 0) if not 0xD800 <= code < 0xE000]
    assert len(sure) > 35_000
    for char in sure[:2000] + sure[2000::7]:
        assert not unicodedata.combining(char), hex(ord(char))
    whole = "".join(sure) + "".join(sure[::-1]) + "".join(sure[::3])
    assert unicodedata.normalize("NFC", whole) == whole


def test_a_rule_of_another_form_is_refused() -> None:
    assert expanded("때(?:는|에)?") == ["때", "때는", "때에"] and expanded("[이그]") == ["이", "그"]
    with pytest.raises(ValueError):
        rule_tables([("수+", "을")])


def test_syllables_outside_ks_x_1001_are_rare() -> None:
    """Python's codec encodes each of them, as letters: what it encodes is no sign of what the standard has."""
    found: Any = registry()
    step = found.load("corpus_step", "mojibake")(found.params("corpus_step", "mojibake", {}))
    damaged = "안녕하세요. 오늘은 날씨가 좋습니다. ".encode().decode("cp949", "ignore") * 20
    assert outcome(step, damaged) == ("mojibake (rare syllables)",)
    with steps_with(scans=False):
        assert outcome(step, damaged) == ("mojibake (rare syllables)",)


def test_a_build_is_the_same_by_scans_and_by_patterns(tmp_path: Path, build: Build, components: Any) -> None:
    """Every byte: documents, those held out, rejects, clusters and counts. Copies meet both deduplications."""
    params = components.params("generator", "embedded", {"megabytes": 0.1})
    texts = [document.text for document in components.load("generator", "embedded")(params, 0, 1)][:150]
    texts += [
        *texts[:5],
        *(f"{text} 끝." for text in texts[5:15]),
        "<br>짧다",
        "오류 404 not found",
        "전화 010-1234-5678 " * 9,
    ]
    path = write_rows(tmp_path / "a.jsonl", texts)
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}
    names = ("normalize", "mojibake", "html", "errors", "length", "repetition", "korean", "personal_data")
    steps = tuple({"name": name} for name in (*names, "exact_dedup", "minhash_dedup"))
    stats = build(source, steps)
    with steps_with(scans=False):
        assert build(source, steps, out="plain") == stats
    assert tree_hash(tmp_path / "out") == tree_hash(tmp_path / "plain")
    dropped = {step["name"]: sum(step["rejects"].values()) for step in stats["steps"]}
    assert dropped["exact_dedup"] == 5 and dropped["minhash_dedup"] > 0
    left = stats["read"]["documents"] - stats["rejected"] - stats["held_out"]["documents"]
    assert stats["documents"] == left


def test_patterns_clean_first_where_nothing_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text counts once, however many steps ask; compiled code of another folder's modules is none of these scans."""
    from kormo_plugins.store.compiled import functions as store

    monkeypatch.setattr(store, "folder", lambda: tmp_path)
    monkeypatch.setattr(text_scan, "PATIENCE", 15)
    for name, value in (("compiled", None), ("waiting", None), ("asked", "")):
        monkeypatch.setattr(text_scan._State, name, value)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "kernel.nbi").touch()
    first, second = "가" * 10, "나" * 10
    assert [compiled(text) for text in (first, first, first, second, first)] == [False, False, False, True, True]
