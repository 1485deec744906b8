"""Cleaning steps one by one: what they change, what they drop, and what they must leave alone."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.corpus.steps.characters.mojibake import repair
from kormo_plugins.corpus.steps.characters.normalize import NormalizeParams, normalize
from kormo_plugins.corpus.steps.languages.language import identify
from kormo_plugins.corpus.steps.personal.personal_data import mask
from kormo_plugins.corpus.steps.selection.two_step import loops
from kormo_plugins.corpus.steps.web.html import strip_markup
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import Registry

from .conftest import write_rows

PROSE = (
    "어제는 비가 와서 집에서 책을 읽었다. 오래된 소설이었는데, 주인공이 고향을 떠나 도시에서 살아가는 이야기였다.\n"
    "저녁에는 친구가 찾아와 함께 국수를 먹었다. 우리는 늦게까지 이야기를 나누었고, 다음 주에 다시 만나기로 했다."
)


def run(components: Registry, name: str, text: str, language: str = "ko", **values: Any) -> Document | Reject:
    step = components.load("corpus_step", name)(components.params("corpus_step", name, values))
    result: Document | Reject = step(Document("d", text, language=language))
    return result


def test_clean_prose_passes_every_step_unchanged(components: Registry) -> None:
    for name in (
        "normalize",
        "mojibake",
        "html",
        "errors",
        "language",
        "repetition",
        "korean",
        "personal_data",
        "two_step",
    ):
        result = run(components, name, PROSE)
        assert isinstance(result, Document) and result.text == PROSE, name


def test_every_parameter_is_described(components: Registry) -> None:
    from kormo_plugins.plugins.modules import resolve

    for name in components.names("corpus_step"):
        model = resolve(components.get("corpus_step", name).params, name)
        if model is None:  # a step that takes none
            continue
        for key, value in model.model_fields.items():
            assert value.description, f"{name}.{key}"


@given(st.text(max_size=200), st.sampled_from(["NFC", "NFKC", "none"]), st.integers(0, 2), st.booleans())
def test_normalizing_twice_changes_nothing(text: str, form: str, blank: int, collapse: bool) -> None:
    params = NormalizeParams(form=form, blank_lines=blank, collapse_spaces=collapse)
    once = normalize(text, params)
    assert normalize(once, params) == once
    if form != "none":
        assert unicodedata.is_normalized(form, once)  # type: ignore[arg-type]


def test_normal_form() -> None:
    decomposed = unicodedata.normalize("NFD", "한글")
    assert (
        normalize(f"\ufeff{decomposed}\r\n\x00a\u200b b\u00a0c   \n\n\n\n\nd", NormalizeParams())
        == "한글\na b c\n\n\nd"
    )
    assert normalize("👨\u200d👩\u200d👧", NormalizeParams()) == "👨\u200d👩\u200d👧"


@given(st.text(alphabet=st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1, max_size=50))
def test_utf8_read_as_latin1_is_repaired_exactly(text: str) -> None:
    assert repair(text.encode().decode("latin-1")) == text
    assert repair(text) == text


def test_what_is_no_mojibake_stays(components: Registry) -> None:
    for text in (
        "Où est le café ? À côté de la forêt, près du théâtre.",
        "Straße, Größe, Übung",
        "“quotes” — and … dots",
    ):
        assert repair(text) == text
        assert run(components, "mojibake", text) == Document("d", text, language="ko")
    assert repair("안녕하세요".encode("euc_kr").decode("latin-1")) == "안녕하세요"


def test_html_goes_and_code_stays(components: Registry) -> None:
    code = "\n```html\n<p>code &amp;</p>\n```\n`<b>` Vec<T> a < b"
    text = f"<p>값이 5 &lt; 6 &amp; 7</p><br/>둘째<script>var x = '<p>';</script>{code}"
    result = run(components, "html", text)
    assert isinstance(result, Document)
    assert result.text == f"값이 5 &lt; 6 & 7\n\n둘째{code}"
    markup = '<div class="a"><span style="b"></span></div>'
    assert run(components, "html", markup * 9 + "글") == Reject("mostly markup")
    assert isinstance(run(components, "mojibake", PROSE[:40] + "\ufffd"), Document)  # one lost letter


def test_error_pages_and_boilerplate(components: Registry) -> None:
    line = "무단 전재 및 재배포 금지"
    result = run(components, "errors", f"{PROSE}\n{line}")
    assert isinstance(result, Document) and result.text == PROSE
    assert isinstance(run(components, "errors", "404 Not Found 오류\n요청하신 페이지를 찾을 수 없습니다."), Reject)
    told = "서버가 404 Not Found 오류를 돌려주면 경로가 맞는지 확인하고, 그래도 같다면 관리자에게 알려야 한다."
    assert isinstance(run(components, "errors", told), Document)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (PROSE, "ko"),
        ("Docker Compose와 Kubernetes를 비교하면 cluster 관리 방식이 다르다.", "ko"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", "ja"),
        ("我们要学习机器学习的基本概念，并且实现一个简单的模型。", "zh"),
        ("It is a truth universally acknowledged, that a single man in possession of a good fortune", "en"),
        ("Der Hund und die Katze sind nicht im Haus, weil das Wetter auch schön ist.", "de"),
        ("Les enfants jouent dans le jardin avec une balle et des amis qui sont venus pour la fête.", "fr"),
        ("Мы читаем книгу о старом городе.", "ru"),
        ("12345 67890 !!", "und"),
    ],
)
def test_languages(text: str, code: str) -> None:
    assert identify(text) == code


def test_repetition(components: Registry) -> None:
    assert run(components, "repetition", "같은 줄이다\n" * 9) == Reject("duplicate lines")
    looped = " ".join(f"단어{i % 7} 말{i % 5}" for i in range(200))
    assert isinstance(run(components, "repetition", looped), Reject)
    dice = random.Random(0)
    various = " ".join(f"낱말{dice.randint(0, 10**6)}" for _ in range(300))
    assert isinstance(run(components, "repetition", various), Document)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("주민번호 900101-1234567 입니다", "주민번호 000000-0000000 입니다"),
        ("날짜가 아닌 991399-1234567", "날짜가 아닌 991399-1234567"),
        ("전화 010-1234-5678, 02) 345-6789", "전화 010-0000-0000, 02) 000-0000"),
        ("+82 10-9876-5432로 연락", "+82 10-0000-0000로 연락"),
        ("메일 hong.gildong+a@naver.com 과 admin@example.org", "메일 email@example.com 과 admin@example.org"),
        ("국민은행 123456-12-123456 예금주", "국민은행 000000-00-000000 예금주"),
        ("부품 번호 123456-12-123456", "부품 번호 123456-12-123456"),
        ("카드 4111-1111-1111-1111", "카드 0000-0000-0000-0000"),
        ("번호 4111-1111-1111-1112", "번호 4111-1111-1111-1112"),
        ("버전 1.2.3, 2024-01-02 10:20:30, 192.168.0.1", "버전 1.2.3, 2024-01-02 10:20:30, 192.168.0.1"),
    ],
)
def test_personal_data(text: str, masked: str) -> None:
    assert mask(text) == masked == mask(masked)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<think>\n3에 4를 더하면 \\boxed{7}\n</think>\n정답은 7입니다.", None),
        ("<think>\n답은 7이다\n</think>\n정답은 8입니다.", "answer and reasoning differ in the number"),
        ("<think>\n생각하는 중", "truncated (reasoning not closed)"),
        ("코드는 다음과 같다.\n```python\nprint(1)", "truncated (code not closed)"),
        ("이 문장은 중간에서 끊어지고 그래서", "truncated (no end of sentence)"),
        ("좋은 방법이다. " + "계속해서 같은 말을 한다. " * 8, "repetitive end"),
        ("The answer was never translated into the other language at all.", "untranslated"),
        ("다음은 번역입니다: 고양이가 잔다.", "words of the translator"),
        ("<think>\n생각\n</think>\n", "no answer"),
        ("이것은 中国語가 많이 섞인 答案이며 不合格이다. 그래서 버린다.", "mixed with Chinese or Japanese"),
    ],
)
def test_two_step(components: Registry, text: str, reason: str | None) -> None:
    result = run(components, "two_step", text)
    assert (result.reason if isinstance(result, Reject) else None) == reason


def test_loops() -> None:
    assert loops("끝이 없다 " * 9) and not loops("===========") and not loops(PROSE)


def test_decontaminate(components: Registry, tmp_path: Path) -> None:
    item = "다음 중 조선 시대에 편찬된 법전으로 옳은 것을 고르시오"
    path = tmp_path / "eval.jsonl"
    path.write_text(json.dumps({"question": item}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert isinstance(run(components, "decontaminate", f"{PROSE} {item.replace(' ', '  ')}?", against=path), Reject)
    assert isinstance(run(components, "decontaminate", PROSE, against=path), Document)
    assert isinstance(run(components, "decontaminate", item[:-12], against=path), Document)  # too short a run
    with pytest.raises(KormoError, match="no item"):
        run(components, "decontaminate", PROSE, against=path, fields=["stem"])


def test_the_classifier_learns_and_repeats_itself(components: Registry, tmp_path: Path) -> None:
    dice = random.Random(0)
    good = [" ".join(dice.choices(PROSE.split(), k=20)) for _ in range(60)]
    bad = [" ".join(dice.choices(["광고", "할인", "클릭", "무료", "대박", "쿠폰", "지금"], k=20)) for _ in range(60)]
    sides = {side: {"path": write_rows(tmp_path / f"{side}.jsonl", texts)} for side, texts in
             (("positive", good[:50]), ("negative", bad[:50]))}  # fmt: skip
    params = components.params("corpus_step", "classifier", {**sides, "buckets": 1000})
    make = components.load("corpus_step", "classifier")
    models = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        ready = make.prepare(params, tmp_path / name)
        models.append(ready.model.read_bytes())
    assert models[0] == models[1]
    step = make(ready)
    assert all(isinstance(step(Document("d", text)), Document) for text in good[50:])
    assert all(isinstance(step(Document("d", text)), Reject) for text in bad[50:])


def test_datatrove_filters_serve_as_steps(components: Registry) -> None:
    values = {"filter": "regex_filter.RegexFilter", "arguments": {"regex_exp": "광고"}}
    assert isinstance(run(components, "datatrove", "이것은 광고이다", **values), Reject)
    assert isinstance(run(components, "datatrove", PROSE, **values), Document)
    with pytest.raises(KormoError, match="Did you mean 'gopher_quality_filter'"):
        run(components, "datatrove", "x", filter="gopher_qualty_filter.X")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_no_step_fails_on_any_text(text: str) -> None:
    from kormo_plugins.plugins.registry import registry

    for name in (
        "normalize",
        "mojibake",
        "html",
        "errors",
        "language",
        "repetition",
        "korean",
        "personal_data",
        "two_step",
    ):
        result = run(registry(), name, text)
        assert isinstance(result, Document | Reject)


@pytest.mark.parametrize("piece", ["<!--", "<script>", "`", "](", "<think>", "```\n~~~\n", "a@b.", "010-1234-"])
def test_no_text_takes_more_than_its_share_of_time(piece: str) -> None:
    """Patterns that look for an end which never comes: tried anew at every beginning, they would need hours here."""
    from kormo_plugins.plugins.registry import registry

    def stuck(*_: object) -> None:
        raise AssertionError("a pattern's time grows with the square of the text")

    names = ("normalize", "mojibake", "html", "errors", "language", "repetition", "korean", "personal_data", "two_step")
    before = signal.signal(signal.SIGVTALRM, stuck)
    signal.setitimer(signal.ITIMER_VIRTUAL, 20)
    try:
        for name in names:
            run(registry(), name, piece * (300_000 // len(piece)))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_html_ends_where_it_ends() -> None:
    text = "가<script>x<script>y</SCRIPT >나<!-- <style> -->다<style>끝이 없다 <!--또 없다 <noscript>z</noscript>라"
    assert strip_markup(text) == "가나다<style>끝이 없다 <!--또 없다 라"


def _likeliest(model: Any, text: str) -> tuple[float, str]:
    probability, label = model.f.predict(" ".join(text.split()) + "\n", 1, 0.0, "strict")[0]
    return float(probability), str(label).removeprefix("__label__")


def fasttext_model(path: Path, examples: dict[str, str]) -> Path:
    """A model of fastText's own trainer: label -> text whose words it is to know."""
    fasttext = pytest.importorskip("fasttext")
    dice, lines = random.Random(0), path.with_suffix(".txt")
    rows = [
        f"__label__{label} {' '.join(dice.choices(text.split(), k=12))}"
        for label, text in examples.items()
        for _ in range(200)
    ]
    lines.write_text("\n".join(rows), encoding="utf-8")
    how = {"dim": 8, "epoch": 20, "lr": 0.1, "bucket": 1000, "minCount": 1, "thread": 1, "verbose": 0}
    for _ in range(50):  # its trainer, not ours, finds a NaN in every other run of so few words, or learns nothing
        with contextlib.suppress(RuntimeError):
            made = fasttext.train_supervised(input=str(lines), **how)
            told = {label: _likeliest(made, text) for label, text in examples.items()}
            if all(likely > 0.95 and found == label for label, (likely, found) in told.items()):
                made.save_model(str(path))
                return path
    pytest.skip("fastText's trainer did not come to an end here")


@pytest.mark.parametrize(("label", "code"), [("ko", "ko"), ("kor_Hang", "ko"), ("cmn_Hani", "zh"), ("xyz_Latn", "xyz")])
def test_labels_of_language_models_become_codes_of_recipes(
    components: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str, code: str
) -> None:
    """lid.176 and GlotLID write them differently; a recipe says `ko` for both."""
    from types import SimpleNamespace

    from kormo_plugins.corpus.steps.languages import models

    model = SimpleNamespace(f=SimpleNamespace(predict=lambda *_: [(0.99, f"__label__{label}")]))
    monkeypatch.setattr(models, "_load", lambda path: model)
    (tmp_path / "lid.bin").touch()
    kept = run(components, "language", PROSE, model=tmp_path / "lid.bin", keep=[code])
    assert isinstance(kept, Document) and kept.language == code


@pytest.mark.soak
@pytest.mark.parametrize("labels", [("ko", "en"), ("kor_Hang", "eng_Latn")])
def test_a_fasttext_model_of_the_users_tells_languages(
    components: Registry, tmp_path: Path, labels: tuple[str, str]
) -> None:
    english = "the boy read a book at home because it rained and his sister went to the market"
    model = fasttext_model(tmp_path / "lid.bin", dict(zip(labels, (PROSE, english), strict=True)))
    kept = run(components, "language", PROSE, model=model, keep=["ko"])
    assert isinstance(kept, Document) and kept.language == "ko"
    assert run(components, "language", english * 3, model=model, keep=["ko"]) == Reject("language en")
    with pytest.raises(KormoError, match="no such file"):
        run(components, "language", PROSE, model=tmp_path / "other.bin")


@pytest.mark.soak
def test_a_fasttext_classifier_of_the_users_is_applied(components: Registry, tmp_path: Path) -> None:
    model = fasttext_model(tmp_path / "quality.bin", {"good": PROSE, "bad": "광고 할인 클릭 무료 대박 쿠폰 지금 구매"})
    kept = run(components, "classifier", PROSE, model=model)
    assert isinstance(kept, Document) and kept.meta["quality"] > 0.9
    assert run(components, "classifier", "지금 클릭 무료 쿠폰 대박 할인", model=model) == Reject("low quality score")
