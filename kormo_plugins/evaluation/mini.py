"""The mini suite's items: small questions written by rules, so that evaluation always runs, also with no network.

Five families in Korean and in English:

    choice       which of four words names a thing of a kind
    cloze        the ending that grammar demands: 을, 를, 이 or 가 after a noun; `mends`, `mend`, `mending`, `to mend`
    reading      four people in four places; where is one of them
    arithmetic   sums, differences and products of small numbers
    instruct     requests with exactly one right answer: repeat a word, answer in one word, yes or no, count

An item is a pure function of (language, family, number), under `HELD_OUT`, a seed that no generator of training data is
given. The nouns are those of our embedded corpus, so that a small model can know them; the names and the sentences are
written here and nowhere else, so that no training corpus of ours holds one. `write_items` puts all into JSONL files, as
the corpus step `decontaminate` reads them: with these, any corpus can be kept clean.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.keyed_random import KeyedRandom

HELD_OUT = 900_000_001
"""Seeds from 900,000,000 on are for evaluation."""
ITEMS = 100
"""Items of a family in a language: one standard error of a score of 25% is then 4.3 points."""
LANGUAGES = ("ko", "en")


def words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


_NAMES = {
    "ko": words("가온 나래 다솜 라온 마루 보람 새벽 아람 자온 하람 이든 우솔"),
    "en": words("Abena Bartek Chidi Dagny Emre Farida Goran Hanneke Ines Jarek Kwame Lucia"),
}
_PLACES = {
    "ko": words("도서관 시장 공원 학교 병원 정원 박물관 부엌"),
    "en": words("library market park school hospital garden museum kitchen"),
}
_KINDS = {
    "ko": {
        "동물": words("강아지 고양이 토끼 부엉이 거북 다람쥐"),
        "과일": words("사과 자두 살구 감 복숭아 귤"),
        "악기": words("피리 기타 피아노 바이올린 첼로 북"),
        "색깔": words("빨간색 파란색 노란색 초록색 보라색 하얀색"),
        "탈것": words("자전거 버스 기차 트럭 전차 지하철"),
    },
    "en": {
        "an animal": words("puppy cat rabbit owl tortoise squirrel"),
        "a fruit": words("apple plum apricot pear peach persimmon"),
        "an instrument": words("flute guitar piano violin cello drum"),
        "a colour": words("red blue yellow green purple white"),
        "a vehicle": words("bicycle bus train truck tram ferry"),
    },
}
_NUMBERS = {"ko": ("", "한", "두", "세", "네"), "en": ("", "one", "two", "three", "four")}
_DONE = words("골랐다. 찾았다. 샀다. 빌렸다. 보았다.")
_IS = words("필요하다. 보인다. 사라졌다. 작다. 크다.")
_VERBS = words("paint clean draw repair find")


def items(family: str, language: str, count: int = ITEMS) -> list[dict[str, Any]]:
    """The items of one family: `id`, `question`, and `choices` with the index `answer`, or `answer` as text.

    Choices carry the space before them, where the language has one. `text` is the question with its right answer.
    """
    made = []
    for number in range(count):
        draw = KeyedRandom(HELD_OUT, language, family, number)
        item = FAMILIES[family](draw, language, number)
        right = item["choices"][item["answer"]] if "choices" in item else f" {item['answer']}"
        made.append({"id": f"{family}-{language}-{number}", **item, "text": item["question"] + right})
    return made


def write_items(folder: Path) -> list[Path]:
    """All items as JSONL, a file for each family and language; existing files are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for family in FAMILIES:
        for language in LANGUAGES:
            path = folder / f"mini_{family}_{language}.jsonl"
            lines = (json.dumps(item, ensure_ascii=False) + "\n" for item in items(family, language))
            write_text(path, "".join(lines))
            written.append(path)
    return written


def _options(draw: KeyedRandom, right: str, wrong: list[str], number: int) -> dict[str, object]:
    """Four options, the right one at each place equally often, so that no place is a better guess."""
    place = number % 4
    others = draw.take(wrong, 3)
    return {"choices": [*others[:place], right, *others[place:]], "answer": place}


def _choice(draw: KeyedRandom, language: str, number: int) -> dict[str, object]:
    kinds = _KINDS[language]
    kind, *others = draw.take(sorted(kinds), 4)
    right = draw.pick(kinds[kind])
    question = {
        "ko": f"질문: 다음 넷 가운데 {kind}의 이름은 무엇인가?\n답:",
        "en": f"Q: Which one of these four words is the name of {kind}?\nA:",
    }[language]
    return {
        "question": question,
        **_options(draw, f" {right}", [f" {draw.pick(kinds[one])}" for one in others], number),
    }


def _cloze(draw: KeyedRandom, language: str, number: int) -> dict[str, object]:
    """Each of the four endings is right equally often: a model that always likes one best scores 25%."""
    name, second = draw.take(_NAMES[language], 2)
    place, kinds, form = draw.pick(_PLACES[language]), _KINDS[language], number // 4 % 4
    things = [word for kind in sorted(kinds) if kind not in ("색깔", "a colour") for word in kinds[kind]]
    if language == "ko":
        noun = draw.pick([word for word in things if _closed(word) == (form % 2 == 0)])
        if form < 2:
            question, rest = f"{_topic(name)} {place}에서 {noun}", draw.pick(_DONE)
        else:
            question, rest = f"지금 {place}에 있는 그 {noun}", draw.pick(_IS)
        ends = [f"을 {rest}", f"를 {rest}", f"이 {rest}", f"가 {rest}"]
    else:
        thing, verb = f"the {draw.pick(things)}.", draw.pick(_VERBS)
        question = (
            f"In the {place}, {name} and {second} often",
            f"In the {place}, {name} often",
            f"In the {place}, {name} is still",
            f"In the {place}, {name} really wants",
        )[form]
        ends = [f" {verb} {thing}", f" {verb}s {thing}", f" {verb}ing {thing}", f" to {verb} {thing}"]
    wrong = [end for index, end in enumerate(ends) if index != form]
    return {"question": question, **_options(draw, ends[form], wrong, number)}


def _topic(name: str) -> str:
    return f"{name}{'은' if _closed(name) else '는'}"


def _closed(word: str) -> bool:
    """Whether the last syllable ends in a consonant, which decides between 을 and 를, 은 and 는."""
    return (ord(word[-1]) - 0xAC00) % 28 != 0


def _reading(draw: KeyedRandom, language: str, number: int) -> dict[str, object]:
    names, places = draw.take(_NAMES[language], 4), draw.take(_PLACES[language], 4)
    who = draw.below(4)
    pairs = list(zip(names, places, strict=True))
    if language == "ko":
        told = " ".join(f"{_topic(name)} {place}에 있다." for name, place in pairs)
        question = f"{told}\n\n질문: {_topic(names[who])} 지금 어디에 있는가?\n답:"
    else:
        told = " ".join(f"{name} is in the {place}." for name, place in pairs)
        question = f"{told}\n\nQ: In which place is {names[who]} now?\nA:"
    wrong = [f" {place}" for place in places if place != places[who]]
    return {"question": question, **_options(draw, f" {places[who]}", wrong, number)}


def _arithmetic(draw: KeyedRandom, language: str, number: int) -> dict[str, object]:
    """The right number is the smallest, second, third and largest of the four equally often."""
    a, b, kind = 2 + draw.below(8), 2 + draw.below(8), number // 16 % 3
    if kind == 1:
        a, b = max(a, b) + 10, min(a, b)
    value = (a + b, a - b, a * b)[kind]
    asked = {
        "ko": (f"{a} 더하기 {b}", f"{a} 빼기 {b}", f"{a} 곱하기 {b}"),
        "en": (f"{a} plus {b}", f"{a} minus {b}", f"{a} times {b}"),
    }[language][kind]
    question = {
        "ko": f"질문: {asked}, 그 값은 얼마인가?\n답:",
        "en": f"Q: What number do you get for {asked}?\nA:",
    }[language]
    rank = number // 4 % 4
    near = [value + step - rank for step in range(4) if step != rank]
    return {"question": question, **_options(draw, f" {value}", [f" {one}" for one in near], number)}


def _instruct(draw: KeyedRandom, language: str, number: int) -> dict[str, object]:
    fruits = _KINDS[language][{"ko": "과일", "en": "a fruit"}[language]]
    return _REQUESTS[number % 4](draw, language, draw.take(fruits, 4))


def _repeat(draw: KeyedRandom, language: str, fruits: list[str]) -> dict[str, object]:
    times, fruit = 2 + draw.below(3), fruits[0]
    question = {
        "ko": f"'{fruit}'{'이라는' if _closed(fruit) else '라는'} 낱말을 {_NUMBERS['ko'][times]} 번 쓰세요.",
        "en": f"Please say the word '{fruit}' {_NUMBERS['en'][times]} times.",
    }[language]
    return {"question": question, "answer": " ".join([fruit] * times)}


def _one_word(draw: KeyedRandom, language: str, fruits: list[str]) -> dict[str, object]:
    name, place = draw.pick(_NAMES[language]), draw.pick(_PLACES[language])
    if language == "ko":
        topic = f"{name}{'은' if _closed(name) else '는'}"
        return {
            "question": f"{topic} {place}에 있습니다. {topic} 어디에 있습니까? 한 낱말로 답하세요.",
            "answer": place,
        }
    return {"question": f"{name} is in the {place}. Where is {name}? Answer with one word.", "answer": place}


def _yes_or_no(draw: KeyedRandom, language: str, fruits: list[str]) -> dict[str, object]:
    a, b = draw.take(range(1, 10), 2)
    yes = a > b
    if language == "ko":
        topic = "은" if str(a)[-1] in "013678" else "는"  # 영 일 삼 육 칠 팔 end in a consonant
        question = f"{a}{topic} {b}보다 큽니까? '예' 또는 '아니요'로만 답하세요."
        return {"question": question, "answer": "예" if yes else "아니요"}
    question = f"Is {a} greater than {b}? Answer only 'yes' or 'no'."
    return {"question": question, "answer": "yes" if yes else "no"}


def _count(draw: KeyedRandom, language: str, fruits: list[str]) -> dict[str, object]:
    count = 1 + draw.below(4)
    listed = ", ".join(fruits[:count])
    question = {
        "ko": f"다음 낱말은 모두 몇 개입니까? 숫자로만 답하세요. {listed}",
        "en": f"How many words are in this list? Answer with a number only. {listed}",
    }[language]
    return {"question": question, "answer": str(count)}


_REQUESTS = (_repeat, _one_word, _yes_or_no, _count)
FAMILIES: dict[str, Callable[[KeyedRandom, str, int], dict[str, Any]]] = {
    "choice": _choice,
    "cloze": _cloze,
    "reading": _reading,
    "arithmetic": _arithmetic,
    "instruct": _instruct,
}
