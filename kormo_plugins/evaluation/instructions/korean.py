"""Our 25 kinds of constraints for Korean answers, the counterpart of IFEval's: lengths in syllables and eojeol, speech
levels of sentence endings, acrostics.

A kind has a check, a sentence that requests it, and an example that satisfies it. The examples are sentences in
하십시오체 without commas, digits or Latin letters, so that they satisfy those constraints as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kormo_plugins.korean import text as counts
from kormo_plugins.korean.morphology import particle
from kormo_plugins.korean.speech_level import level_of

Arguments = Mapping[str, Any]

SENTENCES = (
    "오늘은 바람이 시원하게 붑니다.",
    "마을 사람들이 함께 길을 걷습니다.",
    "아이들은 나무 아래에서 쉽니다.",
    "저녁에는 모두 집으로 돌아갑니다.",
    "할머니는 따뜻한 차를 준비합니다.",
    "가게 주인은 문을 일찍 엽니다.",
    "강가에는 새들이 많이 모입니다.",
    "우리는 천천히 이야기를 나눕니다.",
    "달빛이 조용한 골목을 비춥니다.",
    "내일도 맑은 하늘을 기다립니다.",
)
"""Sentences of the examples."""


def lines(count: int) -> str:
    """`count` sentences on one line."""
    return " ".join(SENTENCES[n % len(SENTENCES)] for n in range(count))


@dataclass(frozen=True)
class Kind:
    """One kind of constraint.

    Args:
        check: whether an answer satisfies it.
        ask: the sentence that requests it.
        example: an answer that satisfies it.
        variants: arguments that our prompts use.
    """

    check: Callable[[str, Arguments], bool]
    ask: Callable[[Arguments], str]
    example: Callable[[Arguments], str]
    variants: tuple[Arguments, ...]


def _levels(text: str, wanted: str) -> bool:
    """All sentences with a speech level have this one, and at least one sentence has it."""
    levels = [level for one in counts.sentences(counts.prose(text)) if (level := level_of(one)) is not None]
    return bool(levels) and set(levels) == {wanted}


def _json(text: str, keys: list[str]) -> bool:
    bare = re.sub(r"^```(?:json)?\s*|\s*```$", "", text.strip(), flags=re.I)
    try:
        value = json.loads(bare)
    except ValueError:
        return False
    return isinstance(value, dict) and sorted(value) == sorted(keys)


def _items(text: str, pattern: str) -> list[str]:
    return re.findall(pattern, text, flags=re.M)


def _numbered(text: str, count: int) -> bool:
    return _items(text, r"^\s*(\d+)[.)]\s+\S") == [str(n) for n in range(1, count + 1)]


def _acrostic(text: str, word: str) -> bool:
    """A line for each syllable, starting with it (also in the form `무: 무지개가 …`)."""
    text_lines = [re.sub(r"^[\s\-*\"'“‘]+", "", line) for line in text.strip().splitlines() if line.strip()]
    return len(text_lines) == len(word) and all(
        line.startswith(one) for line, one in zip(text_lines, word, strict=True)
    )


def _first(text: str) -> str:
    words = counts.eojeols(text)
    return re.sub(r"[^\w가-힣]+$", "", words[0]) if words else ""


def _repeated(word: str, times: int) -> str:
    return " ".join(f"{particle_of(word)} 좋습니다." for _ in range(times))


def particle_of(word: str) -> str:
    """A word with its subject particle, 이 or 가."""
    return word + particle(word, "이")


KINDS: dict[str, Kind] = {
    "length:syllables_at_most": Kind(
        lambda text, a: 0 < counts.syllables(text) <= a["count"],
        lambda a: f"한글 음절이 {a['count']}자를 넘지 않게 쓰십시오.",
        lambda a: SENTENCES[0],
        ({"count": 20}, {"count": 50}, {"count": 100}),
    ),
    "length:syllables_at_least": Kind(
        lambda text, a: counts.syllables(text) >= a["count"],
        lambda a: f"한글 음절을 {a['count']}자 이상 쓰십시오.",
        lambda a: lines(a["count"] // 10 + 1),
        ({"count": 60}, {"count": 150}, {"count": 300}),
    ),
    "length:letters_between": Kind(
        lambda text, a: a["low"] <= counts.letters(text) <= a["high"],
        lambda a: f"공백을 빼고 {a['low']}자 이상 {a['high']}자 이하로 쓰십시오.",
        lambda a: lines((a["low"] + a["high"]) // 2 // 14),
        ({"low": 40, "high": 60}, {"low": 100, "high": 130}, {"low": 180, "high": 230}),
    ),
    "length:eojeol_at_most": Kind(
        lambda text, a: 0 < len(counts.eojeols(text)) <= a["count"],
        lambda a: f"{a['count']}어절 이하로 쓰십시오.",
        lambda a: SENTENCES[0],
        ({"count": 5}, {"count": 12}, {"count": 30}),
    ),
    "length:eojeol_at_least": Kind(
        lambda text, a: len(counts.eojeols(text)) >= a["count"],
        lambda a: f"{a['count']}어절 이상으로 쓰십시오.",
        lambda a: lines(a["count"] // 4 + 1),
        ({"count": 20}, {"count": 50}, {"count": 80}),
    ),
    "length:sentences": Kind(
        lambda text, a: len(counts.sentences(text)) == a["count"],
        lambda a: f"정확히 {a['count']}문장으로 쓰십시오.",
        lambda a: lines(a["count"]),
        ({"count": 2}, {"count": 3}, {"count": 5}),
    ),
    "length:paragraphs": Kind(
        lambda text, a: len(counts.paragraphs(text)) == a["count"],
        lambda a: f"{a['count']}문단으로 쓰고 문단 사이에 빈 줄을 두십시오.",
        lambda a: "\n\n".join(SENTENCES[: a["count"]]),
        ({"count": 2}, {"count": 3}, {"count": 4}),
    ),
    "words:existence": Kind(
        lambda text, a: all(word in counts.composed(text) for word in a["words"]),
        lambda a: f"다음 낱말을 모두 넣으십시오: {', '.join(a['words'])}.",
        lambda a: " ".join(f"{particle_of(word)} 참 좋습니다." for word in a["words"]),
        ({"words": ["나무", "바람"]}, {"words": ["약속", "시간"]}, {"words": ["이웃", "골목", "인사"]}),
    ),
    "words:frequency": Kind(
        lambda text, a: counts.composed(text).count(a["word"]) >= a["count"],
        lambda a: f"'{a['word']}'라는 말을 {a['count']}번 이상 쓰십시오.",
        lambda a: _repeated(a["word"], a["count"]),
        ({"word": "계절", "count": 3}, {"word": "마음", "count": 4}, {"word": "여행", "count": 2}),
    ),
    "words:forbidden": Kind(
        lambda text, a: not any(word in counts.composed(text) for word in a["words"]),
        lambda a: f"다음 말은 쓰지 마십시오: {', '.join(a['words'])}.",
        lambda a: lines(2),
        ({"words": ["그리고", "하지만"]}, {"words": ["매우", "정말"]}, {"words": ["것", "수 있"]}),
    ),
    "words:syllable_frequency": Kind(
        lambda text, a: counts.composed(text).count(a["syllable"]) >= a["count"],
        lambda a: f"'{a['syllable']}' 글자를 {a['count']}번 이상 쓰십시오.",
        lambda a: " ".join(f"{a['syllable']} 소리가 좋습니다." for _ in range(a["count"])),
        ({"syllable": "비", "count": 3}, {"syllable": "새", "count": 4}, {"syllable": "꽃", "count": 3}),
    ),
    "level:hapsyo": Kind(
        lambda text, a: _levels(text, "hapsyo"),
        lambda a: "모든 문장을 '-ㅂ니다'로 끝나는 하십시오체로 쓰십시오.",
        lambda a: lines(3),
        ({}, {}, {}),
    ),
    "level:haeyo": Kind(
        lambda text, a: _levels(text, "haeyo"),
        lambda a: "모든 문장을 '-요'로 끝나는 해요체로 쓰십시오.",
        lambda a: "오늘은 바람이 불어요. 아이들이 나무 아래에서 쉬어요.",
        ({}, {}, {}),
    ),
    "level:haera": Kind(
        lambda text, a: _levels(text, "haera"),
        lambda a: "모든 문장을 '-다'로 끝나는 해라체로 쓰십시오. 높임말은 쓰지 마십시오.",
        lambda a: "오늘은 바람이 분다. 아이들은 나무 아래에서 쉰다.",
        ({}, {}, {}),
    ),
    "script:no_latin": Kind(
        lambda text, a: not re.search(r"[A-Za-z]", text) and counts.syllables(text) > 0,
        lambda a: "로마자를 한 글자도 쓰지 마십시오.",
        lambda a: lines(2),
        ({}, {}, {}),
    ),
    "script:no_digits": Kind(
        lambda text, a: not re.search(r"\d", text) and counts.syllables(text) > 0,
        lambda a: "숫자는 아라비아 숫자 없이 한글로만 쓰십시오.",
        lambda a: "아이가 세 명 있고 의자가 다섯 개 있습니다.",
        ({}, {}, {}),
    ),
    "format:bullets": Kind(
        lambda text, a: len(_items(text, r"^\s*[-*•]\s+\S")) == a["count"],
        lambda a: f"'- '로 시작하는 항목을 정확히 {a['count']}개 쓰십시오.",
        lambda a: "\n".join(f"- {one}" for one in SENTENCES[: a["count"]]),
        ({"count": 3}, {"count": 4}, {"count": 5}),
    ),
    "format:numbered": Kind(
        lambda text, a: _numbered(text, a["count"]),
        lambda a: f"'1.'부터 번호를 매겨 {a['count']}가지를 쓰십시오.",
        lambda a: "\n".join(f"{n}. {one}" for n, one in enumerate(SENTENCES[: a["count"]], 1)),
        ({"count": 3}, {"count": 4}, {"count": 6}),
    ),
    "format:title": Kind(
        lambda text, a: re.match(r"\s*『[^』\n]+』\s*\n", text) is not None,
        lambda a: "첫 줄에 제목을 겹낫표(『 』)로 묶어 쓰고, 다음 줄부터 본문을 쓰십시오.",
        lambda a: f"『바람 부는 날』\n{lines(2)}",
        ({}, {}, {}),
    ),
    "format:json": Kind(
        lambda text, a: _json(text, a["keys"]),
        lambda a: f"열쇠가 {', '.join(a['keys'])}뿐인 JSON 객체 하나로만 답하십시오.",
        lambda a: json.dumps(dict.fromkeys(a["keys"], SENTENCES[0]), ensure_ascii=False),
        ({"keys": ["제목", "내용"]}, {"keys": ["이름", "까닭"]}, {"keys": ["질문", "답", "근거"]}),
    ),
    "startend:first_word": Kind(
        lambda text, a: _first(text) == a["word"],
        lambda a: f"첫 어절을 '{a['word']}'으로 하십시오.",
        lambda a: f"{a['word']} {lines(2)}",
        ({"word": "어느"}, {"word": "먼저"}, {"word": "사실은"}),
    ),
    "startend:last_words": Kind(
        lambda text, a: counts.composed(text).strip().rstrip("\"'”’").endswith(a["phrase"]),
        lambda a: f"글을 '{a['phrase']}'라는 말로 끝내십시오.",
        lambda a: f"{lines(2)} {a['phrase']}",
        ({"phrase": "이상입니다."}, {"phrase": "고맙습니다."}, {"phrase": "다음에 또 뵙겠습니다."}),
    ),
    "startend:postscript": Kind(
        lambda text, a: re.search(r"^\s*추신\s*[:：]\s*\S", counts.composed(text), flags=re.M) is not None,
        lambda a: "글 끝에 '추신:'으로 시작하는 줄을 덧붙이십시오.",
        lambda a: f"{lines(2)}\n\n추신: {SENTENCES[3]}",
        ({}, {}, {}),
    ),
    "punctuation:no_comma": Kind(
        lambda text, a: not re.search(r"[,，、]", text),
        lambda a: "쉼표를 쓰지 마십시오.",
        lambda a: lines(2),
        ({}, {}, {}),
    ),
    "play:acrostic": Kind(
        lambda text, a: _acrostic(counts.composed(text), a["word"]),
        lambda a: f"'{a['word']}' {len(a['word'])}행시를 지으십시오. 각 줄은 그 글자로 시작해야 합니다.",
        lambda a: "\n".join(f"{one} 글자로 시작하는 줄입니다." for one in a["word"]),
        ({"word": "무지개"}, {"word": "도서관"}, {"word": "봄바람"}),
    ),
}
"""Name -> kind; 25 of them."""
