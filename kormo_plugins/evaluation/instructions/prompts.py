"""Prompts with Korean constraints: three of every kind, and forty that combine two kinds.

A prompt is a pure function of its number. Each has an oracle answer that satisfies every constraint of its prompt, so
that the checks themselves can be tested.
"""

from __future__ import annotations

from typing import TypedDict

from kormo_plugins.evaluation.instructions.korean import KINDS

TOPICS = (
    "비 오는 날의 시장을 소개하는 글을 쓰십시오.",
    "새로 이사 온 이웃에게 건네는 인사말을 쓰십시오.",
    "도서관을 이용하는 방법을 알려 주십시오.",
    "가을에 산에 오르는 즐거움을 이야기하십시오.",
    "물을 아껴 쓰는 방법을 알려 주십시오.",
    "처음 자전거를 배우는 아이를 격려하십시오.",
    "고향의 음식을 하나 소개하십시오.",
    "버스를 놓친 하루를 일기로 쓰십시오.",
    "동네 빵집의 개업을 알리는 글을 쓰십시오.",
    "아침 운동이 좋은 까닭을 설명하십시오.",
    "겨울 바다의 풍경을 그려 보십시오.",
    "친구의 생일을 축하하는 말을 쓰십시오.",
)
KEEPING = ("level:hapsyo", "punctuation:no_comma", "script:no_latin", "script:no_digits", "words:forbidden")
"""Kinds that nearly every example satisfies: the second constraint of a pair."""
SHAPES = (
    "length:syllables_at_most", "length:syllables_at_least", "length:eojeol_at_most", "length:eojeol_at_least",
    "length:sentences", "length:paragraphs", "words:frequency", "words:existence",
)  # fmt: skip
"""Kinds that determine the form of an answer: the first constraint of a pair."""


class Item(TypedDict):
    """A prompt with its constraints, as in IFEval's data; `oracle` is an answer that keeps the first."""

    key: int
    prompt: str
    instruction_id_list: list[str]
    kwargs: list[dict[str, object]]
    oracle: str


def items() -> list[Item]:
    """Every prompt: `key`, `prompt`, `instruction_id_list`, `kwargs` as in IFEval's data, and `oracle`."""
    prompts: list[Item] = []
    for place in range(3):
        for number, name in enumerate(KINDS):
            prompts.append(_item(len(prompts), TOPICS[(number + 5 * place) % len(TOPICS)], [name], [place]))
    for number, shape in enumerate(SHAPES):
        for second, name in enumerate(KEEPING):
            topic = TOPICS[(3 * number + second) % len(TOPICS)]
            prompts.append(_item(len(prompts), topic, [shape, name], [second % 3, number % 3]))
    return prompts


def _item(key: int, topic: str, names: list[str], variants: list[int]) -> Item:
    arguments = [KINDS[name].variants[variant] for name, variant in zip(names, variants, strict=True)]
    wanted = " ".join(KINDS[name].ask(values) for name, values in zip(names, arguments, strict=True))
    return {
        "key": key,
        "prompt": f"{topic} {wanted}",
        "instruction_id_list": names,
        "kwargs": [dict(values) for values in arguments],
        "oracle": KINDS[names[0]].example(arguments[0]),
    }
