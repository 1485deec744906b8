"""Steps that score, cut by rank, take lines out, or are switched by domain."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kormo_plugins.corpus.reports.domains import losses
from kormo_plugins.corpus.steps.models import toxicity
from kormo_plugins.corpus.steps.models.perplexity import Perplexity, PerplexityParams
from kormo_plugins.corpus.steps.models.toxicity import Toxicity, ToxicityParams
from kormo_plugins.corpus.steps.per_domain import PerDomain, PerDomainParams
from kormo_plugins.corpus.steps.selection.keep_top import KeepTop, KeepTopParams
from kormo_plugins.corpus.steps.web.template_lines import TemplateLines, TemplateLinesParams
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.checks.validate import validate
from kormo_plugins.recipe.files.resolve import resolve_data
from kormo_plugins.store.corpus_files import read_corpus

from .conftest import write_rows

Build = Callable[..., dict[str, Any]]

ARPA = """\\data\\
ngram 1=5
ngram 2=2

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.5
-1.0\t</s>
-0.5\t비가\t-0.25
-0.5\t온다

\\2-grams:
-0.25\t<s> 비가
-0.125\t비가 온다

\\end\\
"""


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    pytest.importorskip("kenlm", reason="the extra `kenlm` is not installed")
    path = tmp_path / "ko.arpa"
    path.write_text(ARPA, encoding="utf-8")
    return path


def test_perplexity_is_that_of_the_model(arpa: Path) -> None:
    document = Document("d", "비가 온다", language="ko")
    result = Perplexity(PerplexityParams(models={"ko": arpa}))(document)
    expected = 10 ** ((0.25 + 0.125 + 1.0) / 3)  # <s> 비가, 비가 온다, </s>
    assert isinstance(result, Document) and math.isclose(result.meta["perplexity"], expected, abs_tol=0.01)
    assert Perplexity(PerplexityParams(models={"ko": arpa}, at_most={"ko": 2.0}))(document) == Reject(
        "perplexity too high"
    )
    low = PerplexityParams(models={"ko": arpa}, at_least={"ko": 50.0})
    assert Perplexity(low)(document) == Reject("perplexity too low")
    english = Document("d", "rain", language="en")
    assert Perplexity(PerplexityParams(models={"ko": arpa}))(english) == Document("d", "rain", language="en")


def test_a_model_of_perplexity_must_be_one(tmp_path: Path, arpa: Path) -> None:
    with pytest.raises(KormoError, match="no such file"):
        Perplexity.inputs(PerplexityParams(models={"ko": tmp_path / "none"}))
    broken = tmp_path / "broken.arpa"
    broken.write_text("no model", encoding="utf-8")
    with pytest.raises(KormoError, match="not a KenLM model"):
        Perplexity(PerplexityParams(models={"ko": broken}))(Document("d", "비", language="ko"))
    with pytest.raises(ValueError, match="but `models` has no such language"):
        PerplexityParams(models={"ko": arpa}, at_most={"en": 5.0})


def test_a_language_whose_model_is_not_named_yet_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """KORMo's recipes have the step; a variable of the environment switches it on, and that is another corpus."""
    step = PerplexityParams.model_validate({"models": {"ko": "", "en": None}, "at_most": {"ko": 1.0}})
    document = Document("d", "비가 온다", language="ko")
    assert Perplexity(step)(document) == Document("d", "비가 온다", language="ko") and not Perplexity.inputs(step)
    (tmp_path / "ko.arpa").write_text(ARPA, encoding="utf-8")
    for stage in ("stage1", "stage2"):
        path = Path(__file__).parents[2] / f"datasets_recipes/kormo/{stage}.yml"
        for set_to in ("", str(tmp_path / "ko.arpa")):
            monkeypatch.setenv("KORMO_KENLM_KO", set_to)
            found = next(one for one in resolve_data(path).values["steps"] if one["name"] == "perplexity")
            made = PerplexityParams.model_validate({key: value for key, value in found.items() if key != "name"})
            assert made.models == {"ko": Path(set_to) if set_to else None, "en": None}
            assert bool(Perplexity.inputs(made)) == bool(set_to)


@pytest.mark.parametrize(
    ("share", "lowest", "kept"), [(0.5, False, [2, 3, 4]), (0.5, True, [0, 1, 4]), (1, False, None)]
)
def test_the_top_share_stays(share: float, lowest: bool, kept: list[int] | None) -> None:
    step = KeepTop(KeepTopParams(by="q", share=share, lowest=lowest))
    metas: list[dict[str, Any]] = [{"q": 0.1}, {"q": 0.3}, {"q": 0.9}, {"q": 0.3}, {}]
    metas[3]["q"] = 0.5
    fate, _ = step.decide(np.asarray([step.sign(Document("d", "x", meta=meta)) for meta in metas]))
    assert np.flatnonzero(fate == -1).tolist() == (kept or [0, 1, 2, 3, 4])


def test_a_two_stage_cut_and_other_sources(tmp_path: Path, build: Build) -> None:
    """The best half, then 35% of these, as in the reports; a cut asks nothing about other sources."""
    rows = [{"id": f"d{i}", "text": f"글 {i} 번째이다.", "a": i / 100, "b": -i / 100} for i in range(100)]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    reader = {"name": "jsonl", "path": str(path), "columns": {"keep": ["a", "b"]}}
    steps = ({"name": "keep_top", "by": "a", "share": 0.5}, {"name": "keep_top", "by": "b", "share": 0.35})
    build({"reader": reader}, steps=steps, held_out={"documents": 0})
    assert [document.id for document in read_corpus(tmp_path / "out")] == [f"d{i}" for i in range(50, 68)]


def test_the_educational_score_has_its_own_key(components: Registry, tmp_path: Path) -> None:
    dice = random.Random(0)
    sides = {}
    for side, vocabulary in (("positive", "식물 광합성 세포 실험 원리"), ("negative", "할인 쿠폰 특가 무료 구매")):
        texts = [" ".join(dice.choices(vocabulary.split(), k=20)) for _ in range(40)]
        sides[side] = {"path": write_rows(tmp_path / f"{side}.jsonl", texts)}
    make = components.load("corpus_step", "educational")
    step = make(make.prepare(components.params("corpus_step", "educational", {**sides, "buckets": 1000}), tmp_path))
    taught, sold = step(Document("d", "세포 실험 광합성 원리")), step(Document("d", "쿠폰 특가 구매 할인"))
    assert taught.meta["educational"] > 0.5 > sold.meta["educational"] and "quality" not in taught.meta


TOXIC = [
    "야 이 개새끼야 씨발 꺼져",
    "ㅅㅂ 진짜 병신들 지랄하네",
    "시1발 미친놈아 좆같네",
    "fuck you, you fucking bitch",
    "ph*ck off you f4ggot, f**k this",
    "틀딱들이랑 맘충들 진짜 짱깨 같네",
    "나가 뒤져 칼로 찔러 버린다",
    "출장안마 조건만남 야동사이트 바카라사이트",
    "go kill yourself, hope you die in a hole, kys",
    "free porn xxx-videos hd porn cheap viagra",
]
CIVIL = [
    "경부선의 시발역은 서울이고 논의의 시발점은 예산이었다. 시발점이 다르면 종점도 다르다.",
    "병신년에 태어난 왕은 병신일에 즉위하였다.",
    "지랄탄은 최루탄의 속된 이름이고 지랄탄이라고 불렸다.",
    "새끼손가락을 걸고 약속했다. 개새끼손가락이라는 말은 없다.",
    "보지 않고 자지 않으며 시발택시와 홍어 삼합, 떡방앗간, 야사와 정사, 얼싸안은 두 사람을 적었다.",
    "한강에 나가서 재기해 성공한 선수는 서랍을 구석구석 뒤져라 하고 말했다. 고기를 토막 쳐서 볶는다.",
    "A chink in the armour, a cracker and a niggardly hero; suspicious spices, thoth, honky-tonk, Royal Troon.",
    "The retarded potential, a dyke in Holland and the cock crowing at dawn; Dick, Fanny and Randy came too.",
    "The class passed the assessment; Scunthorpe and Essex lost, and the shitake was fine.",
    "소설의 주인공은 화가 나서 씨발이라고 한 번 내뱉고는 오래도록 말이 없었다. 창밖에는 눈이 내리고 있었다.",
]


@pytest.mark.parametrize("text", TOXIC)
def test_toxic_text_goes(text: str) -> None:
    assert Toxicity(ToxicityParams())(Document("d", text)) == Reject("toxic words")


@pytest.mark.parametrize("text", CIVIL)
def test_what_only_looks_toxic_stays(text: str) -> None:
    assert isinstance(Toxicity(ToxicityParams())(Document("d", text)), Document)


def test_categories_are_chosen() -> None:
    def goes(text: str, *categories: str) -> bool:
        return isinstance(Toxicity(ToxicityParams(categories=categories))(Document("d", text)), Reject)

    insult, advertised = "개새끼 미친놈아 dickhead", "출장안마 조건만남 xxx videos"
    assert goes(insult, "insult") and not goes(insult, "adult", "slur")
    assert goes(advertised, "adult") and not goes(advertised, "insult", "profanity")


def test_every_entry_of_the_list_is_found() -> None:
    """Of each category, by itself; so none is hidden behind a look that comes before the patterns."""
    for (language, category), entries in toxicity.word_list().items():
        for entry in entries:
            text = entry.strip("|~").replace("_", " ")
            assert toxicity.built_in(f"그 {text} !", (category,)), (language, category, entry)  # type: ignore[arg-type]


def test_own_words_and_a_classifier(tmp_path: Path, components: Registry) -> None:
    listed = tmp_path / "words.txt"
    listed.write_text("바보 # mild\nfool\n", encoding="utf-8")
    step = Toxicity(ToxicityParams(words=listed, built_in=False, allowed=0))
    assert step(Document("d", "너는 바보야")) == step(Document("d", "you fool")) == Reject("toxic words")
    assert isinstance(step(Document("d", "foolish 등바보 씨발")), Document)
    with pytest.raises(KormoError, match="no such file"):
        Toxicity(ToxicityParams(words=tmp_path / "none"))
    dice = random.Random(0)
    sides = {}
    for side, vocabulary in (("positive", "꺼져 죽어 싫어 혐오"), ("negative", "하늘 바다 나무 구름")):
        texts = [" ".join(dice.choices(vocabulary.split(), k=20)) for _ in range(40)]
        sides[side] = {"path": write_rows(tmp_path / f"{side}.jsonl", texts)}
    make = components.load("corpus_step", "classifier")
    ready = make.prepare(components.params("corpus_step", "classifier", {**sides, "buckets": 1000}), tmp_path)
    judge = Toxicity(ToxicityParams(classifier=ready.model, threshold=0.6))
    assert judge(Document("d", "꺼져 죽어 싫어")) == Reject("toxic (classifier)")
    kept = judge(Document("d", "하늘 바다 구름"))
    assert isinstance(kept, Document) and kept.meta["toxicity"] < 0.4


MENU = "홈\n회사소개\n제품 보기\n고객센터\n공지사항\n로그인\n장바구니"


def test_menus_go_from_head_and_foot_only() -> None:
    step = TemplateLines(TemplateLinesParams())
    body = "\n".join(f"{i}번째 문장이 이어지며 이야기를 만든다." for i in range(12))
    result = step(Document("d", f"{MENU}\n\n{body}\n{MENU}"))
    assert isinstance(result, Document) and result.text == body
    verse = f"{body}\n{MENU}\n{body}"
    assert step(Document("d", verse)) == Document("d", verse)
    assert step(Document("d", MENU)) == Document("d", MENU)  # a poem, for all that this step knows


def test_lines_of_a_template_are_learned(tmp_path: Path) -> None:
    foot = "이 누리집은 모든 브라우저에서 볼 수 있습니다. 조회 {}"
    texts = [
        f"{i}번째 기사의 내용은 다른 기사와 다르다 {'가나다라마바사'[i % 7] * 9}.\n{foot.format(i)}" for i in range(30)
    ]
    params = TemplateLinesParams(examples={"path": write_rows(tmp_path / "x.jsonl", texts)})  # type: ignore[arg-type]
    ready = TemplateLines.prepare(params, tmp_path)
    result = TemplateLines(ready)(Document("d", f"처음 보는 글이고 꽤 길어서 반이 넘는다.\n{foot.format(999)}"))
    assert isinstance(result, Document) and result.text == "처음 보는 글이고 꽤 길어서 반이 넘는다."
    assert TemplateLines(ready)(Document("d", foot.format(3))) == Reject("lines of a template")


def test_a_step_is_switched_by_domain(tmp_path: Path, build: Build) -> None:
    song = "같은 줄이다\n" * 9
    params = PerDomainParams.model_validate(
        {"step": {"name": "repetition"}, "domains": {"lyrics.kr": False, "*.exam.kr": {"lines": 1.0,
         "line_characters": 1.0, "paragraphs": 1.0, "min_words": 1000}}}
    )  # fmt: skip
    step = PerDomain(params)
    for url, stays in (
        ("https://www.lyrics.kr/1", True), ("http://a.exam.kr/x", True), ("http://exam.kr", True),
        ("http://news.kr/lyrics.kr", False), ("", False),
    ):  # fmt: skip
        assert isinstance(step(Document("d", song, meta={"url": url})), Document) is stays, url
    assert PerDomain.inputs(params)["version"] == 3


@pytest.mark.parametrize(("name", "why"), [("minhash_dedup", "whole source"), ("repetitoin", "repetition")])
def test_only_document_steps_can_be_switched(name: str, why: str) -> None:
    with pytest.raises(KormoError, match=why):
        PerDomain(PerDomainParams.model_validate({"step": {"name": name}, "domains": {"a.kr": "off"}}))


def test_the_page_shows_which_domains_lost_most_and_why(tmp_path: Path, build: Build) -> None:
    urls = ["https://www.songs.kr/1", "http://songs.kr/2", "http://news.kr/1", "http://news.kr/2"]
    texts = [
        "같은 줄이다\n" * 9,
        "다른 줄이다\n" * 9,
        "어제는 비가 와서 집에서 책을 읽었다.",
        "같은 줄이 또 있다\n" * 9,
    ]
    rows = [{"id": f"d{i}", "text": text, "url": url} for i, (text, url) in enumerate(zip(texts, urls, strict=True))]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    reader = {"name": "jsonl", "path": str(path), "columns": {"keep": ["url"]}}
    build({"reader": reader}, steps=({"name": "repetition"},), held_out={"documents": 0})
    found = losses(read_corpus(tmp_path / "out"), read_corpus(tmp_path / "out" / "rejects"))
    expected = {"songs.kr": (2, 0), "news.kr": (1, 1)}
    assert {domain: (loss.dropped, loss.kept) for domain, loss in found.items()} == expected
    assert found["songs.kr"].reasons == {("repetition", "duplicate lines"): 2}


def test_a_step_that_waits_for_its_model_is_told_before_anything_is_read(tmp_path: Path) -> None:
    recipe = tmp_path / "data.yml"
    recipe.write_text(
        "name: waits\nsources: {web: {license: unknown, reader: {name: jsonl, path: web.jsonl}}}\n"
        "steps: [{name: perplexity, models: {ko: '${KORMO_NO_SUCH:-}', en: en.arpa}}]\n"
    )
    (warning,) = validate(recipe).warnings
    assert warning.where == "steps[0]" and "no model for ko:" in warning.why


DATA = (
    "name: waits\nsources: {web: {license: unknown, reader: {name: jsonl, path: web.jsonl}}}\n"
    "steps:\n- name: per_domain\n"
)


def test_a_step_within_a_step_tells_what_it_waits_for(tmp_path: Path) -> None:
    recipe = tmp_path / "data.yml"
    inner = "  step: {name: perplexity, models: {ko: null}}\n"
    recipe.write_text(f"{DATA}{inner}  domains: {{a.kr: off, b.kr: {{models: {{ko: null, en: null}}}}, c.kr: {{}}}}\n")
    told = [warning.why.partition(":")[0] for warning in validate(recipe).warnings]
    assert told[:2] == ["step (perplexity)", "domains.b.kr (perplexity)"]
    assert len(told) == 3  # and that the reader keeps no `url`


@pytest.mark.parametrize(
    ("step", "domain", "told"),
    [
        ("{name: no_such}", "off", "steps[0]: step per_domain: step"),
        ("{name: korean, min_word: 1}", "off", "steps[0]: step per_domain: step.min_word"),
        ("{name: korean}", "{min_word: 1}", "steps[0]: step per_domain: domains.a.kr.min_word"),
        ("{name: exact_dedup}", "off", "steps[0]: step per_domain: step"),
    ],
)
def test_a_step_within_a_step_is_checked_before_anything_is_read(
    tmp_path: Path, step: str, domain: str, told: str
) -> None:
    recipe = tmp_path / "data.yml"
    recipe.write_text(f"{DATA}  step: {step}\n  domains: {{a.kr: {domain}}}\n")
    with pytest.raises(KormoError) as error:
        validate(recipe)
    assert told in error.value.where


@pytest.mark.parametrize(("path", "step"), [("true", "{name: korean}"), ("a.jsonl", "korean")])
def test_a_value_of_another_kind_is_refused_without_the_name_of_a_class(tmp_path: Path, path: str, step: str) -> None:
    recipe = tmp_path / "data.yml"
    recipe.write_text(f"{DATA.replace('web.jsonl', path)}  step: {step}\n  domains: {{a.kr: off}}\n")
    with pytest.raises(KormoError) as error:
        validate(recipe)
    assert "it should be " in error.value.why or "a component is chosen by name" in error.value.why


@pytest.mark.parametrize("seeds", ["{name: no_such}", "{name: jsonl, path: a.jsonl, no_such: 1}"])
def test_the_reader_of_seeds_is_checked_before_anything_is_read(tmp_path: Path, seeds: str) -> None:
    recipe = tmp_path / "data.yml"
    made = f"{{name: openai_endpoint, url: 'http://h/v1', model: m, style: answer, seeds: {seeds}}}"
    recipe.write_text(f"name: d\nsources: {{made: {{license: unknown, generator: {made}}}}}\n")
    with pytest.raises(KormoError, match="openai_endpoint: seeds"):
        validate(recipe)


def test_steps_that_no_source_takes_are_told(tmp_path: Path) -> None:
    """A source of tokens takes no steps, and is none that they are for."""
    recipe = tmp_path / "data.yml"
    reader = "license: unknown, reader: {name: jsonl, path: web.jsonl}"
    text = "name: own\nsources:\n  web: {%s%s}\n%ssteps: [{name: normalize}]\n"
    tokens = "  trove: {license: unknown, language: ko, tokens: {format: datatrove, path: trove}}\n"
    for more in ("", tokens):
        recipe.write_text(text % (reader, ", steps: [{name: korean}]", more))
        (warning,) = validate(recipe).warnings
        assert warning.where == "steps" and "never applied" in warning.why
        recipe.write_text(text % (reader, "", more))
        assert validate(recipe).warnings == ()
