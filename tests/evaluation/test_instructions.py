"""Constraints: what keeps each, and what just misses it; counting in Korean; whole suites through the harness."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.model import LM

from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation.generation import extract
from kormo_plugins.evaluation.generation.scoring import score_number
from kormo_plugins.evaluation.instructions import english
from kormo_plugins.evaluation.instructions.follow import follow, keeps
from kormo_plugins.evaluation.instructions.korean import KINDS
from kormo_plugins.evaluation.instructions.languages import is_language
from kormo_plugins.evaluation.instructions.prompts import items
from kormo_plugins.evaluation.suites import load_suite
from kormo_plugins.korean import text as counts
from kormo_plugins.korean.speech_level import level_of
from kormo_plugins.store.keyed_random import KeyedRandom

IFEVAL: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["Tree", "sea"]}, "a tree by the SEA", "a tree"),
    ("keywords:frequency", {"keyword": "ha", "frequency": 2, "relation": "at least"}, "ha ha", "ha"),
    ("keywords:forbidden_words", {"forbidden_words": ["art"]}, "a part", "Art!"),
    ("keywords:letter_frequency", {"letter": "q", "let_frequency": 2, "let_relation": "less than"}, "Quiz", "quQ"),
    ("language:response_language", {"language": "de"}, "Das ist nicht der Hund und die Katze.", "That is the dog."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "One. Two!", "One, e.g. 2."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, "Two\nlines.", "One. Two!"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n***\n***\nb"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "two words", "now three words"),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "so"},
     "It is.\n\nSo, it is.", "So it is.\n\nIt is."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] at [place]", "[name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Hi.\np. s. more", "Hi, no more"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n**b**"),
    ("detectable_format:constrained_response", {}, "My answer is no. So.", "No."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b**", "*a* and * *"),
    ("detectable_format:multiple_sections", {"section_spliter": "SECTION", "num_sections": 2},
     "SECTION 1\na\nSECTION 2\nb", "SECTION 1\na"),
    ("detectable_format:json_format", {}, "```json\n{\"a\": 1}\n```", "{a: 1}"),
    ("detectable_format:title", {}, "<<A title>>\nText", "<< >>\nText"),
    ("combination:two_responses", {}, "one\n******\ntwo", "same\n******\nsame"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "say it. It.", "It. Say it."),
    ("startend:end_checker", {"end_phrase": "The end."}, "It was so. the end.", "The end. Or not"),
    ("startend:quotation", {}, '"Quoted."', '"Not quite'),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"},
     "A BIG tree", "A tree"),
    ("change_case:english_capital", {}, "THE TREE IS BIG", "THE Tree IS BIG"),
    ("change_case:english_lowercase", {}, "the tree is big", "The tree is big"),
    ("punctuation:no_comma", {}, "a and b", "a, b"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "kept", "missed"), IFEVAL, ids=[one[0] for one in IFEVAL])
def test_ifevals_constraints(name: str, arguments: dict[str, Any], kept: str, missed: str) -> None:
    assert keeps(name, kept, {**arguments, "unused": None}) and not keeps(name, missed, arguments)
    assert not keeps(name, "  ", arguments)


def test_all_of_ifevals_constraints_are_there() -> None:
    assert {one[0] for one in IFEVAL} == set(english.CHECKS) and len(english.CHECKS) == 25 == len(KINDS)


MISSED = {
    "length:syllables_at_most": "가" * 400,
    "length:syllables_at_least": "가나다",
    "length:letters_between": "가",
    "length:eojeol_at_most": "가 " * 200,
    "length:eojeol_at_least": "가 나 - · 다",
    "length:sentences": "한 문장입니다.",
    "length:paragraphs": "한 문단\n그 다음 줄",
    "words:existence": "나무",
    "words:frequency": "마음",
    "words:forbidden": "그리고 하지만 매우 정말 할 수 있는 것",
    "words:syllable_frequency": "비새꽃",
    "level:hapsyo": "갑니다. 가요.",
    "level:haeyo": "가요. 간다.",
    "level:haera": "간다. 갑니다.",
    "script:no_latin": "가 a",
    "script:no_digits": "셋 3",
    "format:bullets": "- 하나",
    "format:numbered": "1. 하나\n3. 셋\n2. 둘",
    "format:title": "제목\n『본문』",
    "format:json": '{"제목": 1}',
    "startend:first_word": "그날 어느 먼저 사실은",
    "startend:last_words": "이상입니다. 끝",
    "startend:postscript": "추신을 씁니다.",
    "punctuation:no_comma": "가, 나",
    "play:acrostic": "무지개\n도서관\n봄바람",
}


def test_korean_constraints_are_kept_by_their_examples_and_by_nothing_that_just_misses() -> None:
    for name, kind in KINDS.items():
        for values in kind.variants:
            assert keeps(name, kind.example(values), values), (name, values)
            assert not keeps(name, MISSED[name], values), (name, values)


def test_korean_is_counted_as_koreans_count() -> None:
    decomposed = "\u1112\u1161\u11ab\u1100\u1173\u11af"  # 한글, written in jamo
    assert counts.syllables(decomposed) == 2 == counts.letters(decomposed)
    assert counts.syllables("ㅋㅋ 3시 GPU 했다!") == 3 and counts.letters("ㅋㅋ 3시 GPU 했다!") == 10
    assert len(counts.eojeols("나는 - 학교에 • 갔다 .")) == 3
    table = {
        "값은 3.14입니다. 맞습니까? 네!": 3,
        "“정말 왔어?” 그가 물었다.": 2,
        "1. 첫째 항목\n2. 둘째 항목": 2,
        "Dr. Kim이 왔다. 김 박사는 A. B. Lee를 만났다.": 2,
        "그는 말이 없었다… 그리고 갔다.": 2,
        "file.txt와 https://a.b/c.d 를 보라.": 1,
        "": 0,
        "…\n---": 0,
    }
    assert {text: len(counts.sentences(text)) for text in table} == table
    levels = {"갑니다.": "hapsyo", "가십시오!": "hapsyo", "가요?": "haeyo", "그렇죠.": "haeyo", "간다.": "haera",
              "갔어.": "hae",              "\"갑니다\"라고 했다.": "haera", "그의 의지.": None, "끝": None}  # fmt: skip
    assert {text: level_of(text) for text in levels} == levels


def test_languages_are_told_apart() -> None:
    texts = {
        "ko": "나무가 크다.", "ja": "木が大きいです。", "zh": "树很大，天空很蓝。", "ru": "Дерево большое.",
        "fr": "Le chien est dans la maison et il ne dort pas.", "es": "El perro no está en la casa y es grande.",
        "pt": "O cão não está na casa e é grande para uma criança.",
        "it": "Il cane è nella casa e non dorme per il caldo.",
        "vi": "Con chó và con mèo không có trong nhà.", "fi": "Koira ja kissa on talossa mutta se ei ole tämä.",
        "hi": "पेड़ बड़ा है।", "sw": "Mbwa na paka ni wa nyumba hii kwa ajili ya watu.",
    }  # fmt: skip
    for language, text in texts.items():
        assert [other for other in texts if is_language(text, other)] == [language]


def test_loose_forgives_a_greeting_and_asterisks_and_nothing_else() -> None:
    names, values = ["punctuation:no_comma", "length:sentences"], [{}, {"count": 1}]
    strict, loose = follow(names, values, "Sure, here it is:\n**한 문장입니다.**")
    assert strict == [False, False] and loose == [True, True]
    assert follow(["punctuation:no_comma"], [{}], "a, b\nc, d\ne, f") == ([False], [False])
    with pytest.raises(KormoError, match="number_sentences"):
        keeps("length_constraints:number_sentence", "a", {})
    with pytest.raises(KormoError, match="num_words"):
        keeps("length_constraints:number_words", "a", {"relation": "at least"})


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("생각해 보면 1번도 3번도 아니다. 따라서 정답은 ② 입니다.", 1), ("... \\boxed{3}", 2),
        ("답: (4)", 3), ("The answer is B.", 1),
        ("**정답: 2번**", 1), ("정답은 파리입니다. 답: 파리", 0), ("2024년에 3명이 왔다", None),
        ("\\boxed{7}", None), ("", None),
        ("\\boxed{2", None), ("\\boxed{{2}} \\boxed{", 1),
        ("대답은 1이 아니라 정답: 5", 4), ("1\n2", 1), ("$\\boxed{\\text{A}}$", 0),
    ],
)  # fmt: skip
def test_options_are_found(text: str, right: int | None) -> None:
    assert extract.option(text, ["파리", "런던", "로마", "서울", "도쿄"]) == right


@pytest.mark.parametrize(
    ("text", "answer", "same"),
    [
        ("따라서 \\boxed{1,200}원", "1200", True), ("답은 3/4 이다", "0.75", True),
        ("\\boxed{\\frac{3}{4}}", "3/4", True),
        ("12 그리고 15", "15", True), ("12 그리고 15", "12", False), ("\\boxed{x^2 + 1}", "x^2+1", True),
        ("모른다", "3", False),
        ("\\boxed{-2}", "2", False), ("\\boxed{25\\%}", "25", True), ("정답: 3.50", "7/2", True),
        ("\\boxed{\\frac{\\sqrt{2}}{2}}", "\\frac{1}{\\sqrt{2}}", True), ("\\boxed{2^{10}}", "1024", True),
        ("\\boxed{2x + 1}", "1+2x", True), ("\\boxed{(1, 2)}", "(1,2)", True), ("\\boxed{(2,1)}", "(1,2)", False),
        ("\\boxed{9^{9^{9}}}", "1", False), ("\\boxed{9^{99999999}}", "1", False), ("\\boxed{99999999!}", "1", False),
        ("\\boxed{__import__('os').system('echo')}", "3", False), ("\\boxed{\\frac{1}{}}", "3", False),
        ("정답은 홍길동", "홍길동", True), ("정답은 홍길동", "이몽룡", False),
    ],
)  # fmt: skip
def test_numbers_are_compared_as_numbers(text: str, answer: str, same: bool) -> None:
    assert extract.same_number(text, answer) == same


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 30_000, "{" * 100_000 + "\\boxed{3}" + "}" * 9, "\\boxed{" + "1" * 60_000 + "x/",
        "정답: " + "1" * 60_000 + "/", "\\boxed{1/" + "9" * 5_000 + "}", "\\boxed{" + "9" * 500 + "/" + "9" * 500 + "}",
    ],
)  # fmt: skip
def test_an_endless_answer_takes_no_time_and_ends_nothing(text: str) -> None:
    """A model may repeat itself up to its last token; what it writes is judged, whatever it is."""
    begin = time.process_time()
    assert extract.same_number(text, "3") == ("boxed{3}" in text)
    extract.option(text, ["파리", "런던"])
    assert extract.listed_options("\n" * 100_000 + " 2. x") == {"2": "x"}
    assert time.process_time() - begin < 2, "some twenty minutes, when each mark was searched to the end"


@pytest.mark.parametrize(
    "hostile",
    [
        r"2^{999\cdot999\cdot999\cdot999}", r"\binom{999999}{499999}", r"((2^{999})^{999})^{999}", r"2^2^2^2^2^2",
        r"9^{9^9}", r"(999!)^9", r"\sum_{n=1}^{999999}n^{999}", r"2^{x999999}", r"\prod_{k=1}^{99999}k",
        r"10^{-999999}", r"2^{2^{x}}",
    ],
)  # fmt: skip
def test_what_could_occupy_the_machine_is_compared_as_written(hostile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never reaches Math-Verify, so that no limit of time decides, in whichever thread."""
    monkeypatch.setitem(sys.modules, "math_verify", None)  # an import would raise
    assert not extract.same_expression(hostile, "1") and not extract.same_expression("1", hostile)
    assert extract.same_expression(hostile, f"${hostile}$")


def test_an_option_of_the_question_is_right_by_number_and_by_text() -> None:
    row: Any = {"question": "어느 것이 맞습니까?\n1. $\\frac12$\n2. $x$\n3. 없다", "answer": 3}
    said = {"\\boxed{3}": 1, "정답은 3번": 1, "\\boxed{없다}": 1, "\\boxed{x}": 0, "정답: 1": 0}
    assert {text: score_number(row, [text])["exact_match"] for text in said} == said


def test_pass_at_k_is_unbiased() -> None:
    """Against the mean over all subsets."""
    from itertools import combinations

    for tries in (1, 4, 6):
        for right in range(tries + 1):
            hits = [True] * right + [False] * (tries - right)
            for k in range(1, tries + 1):
                subsets = list(combinations(hits, k))
                mean = sum(map(any, subsets)) / len(subsets)
                assert extract.pass_at(k, tries, right) == pytest.approx(mean)
    with pytest.raises(ValueError):
        extract.pass_at(3, 2, 1)


class Answering(LM):
    """Writes what a function of prompt and number of the try says."""

    max_gen_toks = 256

    def __init__(self, answer: Callable[[str, int], str]) -> None:
        super().__init__()
        self.answer = answer

    def speak(self, chat: bool) -> None:
        pass

    def generate_until(self, requests: Any, **_: Any) -> list[str]:
        seen: dict[str, int] = {}
        texts = []
        for prompt in (request.args[0] for request in requests):
            seen[prompt] = seen.get(prompt, -1) + 1
            texts.append(self.answer(prompt, seen[prompt]))
        return texts

    loglikelihood = loglikelihood_rolling = generate_until


@pytest.fixture()
def score(opened: Any, registry: Any, tmp_path: Path) -> Any:
    """Rows of tasks or a suite, answered by a function."""
    from kormo_plugins.evaluation import run
    from kormo_plugins.evaluation.record import Record

    numbers = iter(range(100))

    def rows(answer: Callable[[str, int], str], tasks: list[str], data: Path | None = None) -> dict[str, Any]:
        from .conftest import with_positions

        lines = run.find_lines((), tasks, None, registry)
        model = with_positions(opened, 1 << 20)
        record = Record(tmp_path / f"out{next(numbers)}", model)
        run.evaluate(lines, model, record, registry, data=data, load=lambda: Answering(answer), say=lambda _: None)
        return {row["task"]: row["metrics"] for row in record.values["tasks"]}

    return rows


def test_the_korean_suite_scores_its_oracle_full_and_chance_for_random_words(score: Any) -> None:
    oracle = {item["prompt"]: item["oracle"] for item in items()}
    full = score(lambda prompt, _: oracle[prompt], ["ifeval_ko"])["ifeval_ko"]
    assert {name: one["value"] for name, one in full.items()} == dict.fromkeys(full, 1.0) and len(full) == 4
    empty = score(lambda prompt, _: "", ["ifeval_ko"])["ifeval_ko"]
    assert {one["value"] for one in empty.values()} == {0.0}

    def random_words(prompt: str, _: int) -> str:
        draw = KeyedRandom(900_000_031, prompt)
        return " ".join("".join(chr(draw.between(0xAC00, 0xD7A3)) for _ in range(3)) for _ in range(20))

    chance = score(random_words, ["ifeval_ko"])["ifeval_ko"]
    (line,) = load_suite("instructions_ko").tasks
    assert chance["prompt_level_strict_acc,none"]["value"] == pytest.approx(line.chance, abs=0.01)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def test_ifeval_is_read_from_a_copy(score: Any, tmp_path: Path) -> None:
    """In the layout of the hub, where every row has every argument."""
    names = sorted({key for _, values, _, _ in IFEVAL for key in values})
    rows = [
        {"key": n, "prompt": f"prompt {n}", "instruction_id_list": [name],
         "kwargs": [{**dict.fromkeys(names), **values}]}
        for n, (name, values, _, _) in enumerate(IFEVAL)
    ]  # fmt: skip
    write(tmp_path / "data" / "IFEval" / "train.jsonl", rows)
    answers = {f"prompt {n}": kept for n, (_, _, kept, _) in enumerate(IFEVAL)}
    found = score(lambda prompt, _: answers[prompt], ["ifeval_checked"], tmp_path / "data")["ifeval_checked"]
    assert {one["value"] for one in found.values()} == {1.0}


def test_generated_benchmarks_score_oracles_full_and_guesses_at_chance(score: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    options = [f"보기 {letter}" for letter in "가나다라마"]
    for name in ("KMMLU-Pro", "KMMLU-Redux"):
        choice = [{"question": f"{name}: 문제 {n}", "options": options, "solution": str(n % 5 + 1)} for n in range(200)]
        write(data / "LGAI-EXAONE" / name / "test.jsonl", choice)
    facts = [{"topic": "t", "problem": f"문제 {n}", "answer": f"세종 {n}세", "urls": ""} for n in range(40)]
    write(data / "KoSimpleQA" / "kosimpleqa.jsonl", facts)
    (data / "KoSimpleQA" / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - {split: test, path: kosimpleqa.jsonl}\n---\n"
    )
    for part in ("GSM8K", "KSM", "MATH", "MMMLU", "OMNI_MATH"):
        rows = [{"question": f"{part}: 문제 {n}", "answer": float(n)} for n in range(30)]
        write(data / "HAERAE-HUB" / "HRM8K" / part / "test.jsonl", rows)

    def number(prompt: str) -> int:
        return int(prompt.split("문제 ")[-1].split("\n")[0])

    def oracle(prompt: str, _: int) -> str:
        n = number(prompt)
        if "보기" in prompt:
            return f"풀면 이렇다.\n\\boxed{{{n % 5 + 1}}}"
        return f"답: 세종 {n}세입니다." if "짧게" in prompt else f"따라서 \\boxed{{{n}}}"

    tasks = ["kmmlu_pro_generated", "kmmlu_redux_generated", "kosimpleqa", "hrm8k_generated", "hrm8k_pass_at_k"]
    full = score(oracle, tasks, data)
    assert len(full) == 3 + 5 + 5
    assert {one["value"] for metrics in full.values() for one in metrics.values()} == {1.0}
    assert len(full["hrm8k_ksm_pass_at_k"]) == 6

    def guess(prompt: str, attempt: int) -> str:
        return f"\\boxed{{{KeyedRandom(900_000_032, prompt, attempt).below(5) + 1}}}" if "보기" in prompt else "모른다"

    random = score(guess, ["kmmlu_pro_generated", "kosimpleqa", "hrm8k_ksm_pass_at_k"], data)
    chance = random["kmmlu_pro_generated"]["exact_match,none"]["value"]
    assert abs(chance - 0.2) < 3 * (0.2 * 0.8 / 200) ** 0.5
    assert random["kosimpleqa"]["exact_match,none"]["value"] == 0.0
    assert random["hrm8k_ksm_pass_at_k"]["pass@8,none"]["value"] == 0.0

    def sometimes(prompt: str, attempt: int) -> str:
        return oracle(prompt, attempt) if attempt in (1, 4) else "모른다"

    found = score(sometimes, ["hrm8k_ksm_pass_at_k"], data)["hrm8k_ksm_pass_at_k"]
    assert found["pass@1,none"]["value"] == pytest.approx(0.25)
    assert (
        found["pass@4,none"]["value"] == pytest.approx(extract.pass_at(4, 8, 2)) and found["pass@8,none"]["value"] == 1
    )
