"""Generates preference pairs: `generate(params, shard, shards)`, the generator `embedded_preferences`.

A pair is a task, its short correct answer, and an answer with one fault. Tasks: what a thing is for, a sum of small
numbers, which number is larger, a word repeated a number of times. Faults:

    wrong      another thing's use, another number, the other word
    language   the correct answer in the other language
    rambling   the correct answer among unrelated sentences
    endless    the correct answer repeated, cut off before it ends

Half of the pairs have reasoning: the chosen answer a short correct thought, the rejected one a thought that leads to
its fault. Questions held out in the conversations (`chat.py`) are held out here too.

Pair i is a pure function of the parameters and i. All pairs are rule-based and labelled synthetic; they demonstrate
that preference learning works, and have no other use.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from kormo_plugins.documents.document import Document
from kormo_plugins.documents.message import Message
from kormo_plugins.documents.preference_pair import Pair, with_pair
from kormo_plugins.embedded.conversations.chat import is_held_out
from kormo_plugins.embedded.lexicon import Lexicon, lexicon
from kormo_plugins.embedded.template import Template, Word, both
from kormo_plugins.store.keyed_random import KeyedRandom

NAME = "embedded_preferences"
LICENSE = "Apache-2.0"
VERSION = 1
FAULTS = ("wrong", "language", "rambling", "endless")
ENDLESS = 6
"""Repetitions in an endless answer before it is cut off."""
_REGISTER = "haeyo"


class PreferenceParams(BaseModel):
    """What to generate."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    pairs: int = Field(default=400, ge=1, description="number of pairs")
    language: Literal["ko", "en", "all"] = Field(
        default="all", description="language: Korean, English, or both alternately"
    )
    thinking: float = Field(default=0.5, ge=0, le=1, description="share of pairs whose answers include reasoning")
    seed: int = Field(default=0, description="seed of the pairs")


class Task(NamedTuple):
    """A task in both languages: question, thought, correct answer, and a wrong thought and answer."""

    question: Word
    thought: Word
    answer: Word
    wrong_thought: Word
    wrong: Word


def _say(ko: str, en: str, **slots: Word) -> Word:
    template = Template(ko, en)
    return Word(template.fill(slots, "ko", _REGISTER), template.fill(slots, "en", _REGISTER))


def _use(dice: KeyedRandom, lex: Lexicon) -> Task:
    right, other = dice.some(lex.uses[dice.pick(("tool", "vessel", "machine"))], 2)
    slots = {"n": right.noun, "u": right.use, "w": other.use}
    return Task(
        _say("{n:은} 무엇을 할 때 써요?", "What do you do with {n:a}?", **slots),
        _say("{n:으로} {u:는} 모습을 떠올린다.", "I picture someone with {n:a}, about to {u}.", **slots),
        _say("{u:ㄹ} 때 써요.", "You {u}.", **slots),
        _say("{n:으로} {w:는} 모습을 떠올린다.", "I picture someone with {n:a}, about to {w}.", **slots),
        _say("{w:ㄹ} 때 써요.", "You {w}.", **slots),
    )


def _sum(dice: KeyedRandom, lex: Lexicon) -> Task:
    a, b = dice.between(1, 9), dice.between(1, 9)
    slots = {"a": both(a), "b": both(b), "r": both(a + b), "w": both(a + b + dice.pick((-1, 1, 2)))}
    return Task(
        _say("{a:과} {b:을} 더하면 얼마예요?", "What is {a} plus {b}?", **slots),
        _say("{a}에 {b:을} 더하면 {r:이} 된다.", "Adding {b} to {a} makes {r}.", **slots),
        _say("{r:이다}.", "It is {r}.", **slots),
        _say("{a}에 {b:을} 더하면 {w:이} 된다.", "Adding {b} to {a} makes {w}.", **slots),
        _say("{w:이다}.", "It is {w}.", **slots),
    )


def _larger(dice: KeyedRandom, lex: Lexicon) -> Task:
    low, high = sorted(dice.some(range(1, 100), 2))
    first, second = (low, high) if dice.chance(0.5) else (high, low)
    slots = {"a": both(first), "b": both(second), "r": both(high), "w": both(low)}
    return Task(
        _say("{a:과} {b} 가운데 어느 수가 더 커요?", "Which is larger, {a} or {b}?", **slots),
        _say("{r:은} {w}보다 크다.", "{r} is more than {w}.", **slots),
        _say("{r:이다}.", "It is {r}.", **slots),
        _say("{w:은} {r}보다 크다.", "{w} is more than {r}.", **slots),
        _say("{w:이다}.", "It is {w}.", **slots),
    )


def _repeat(dice: KeyedRandom, lex: Lexicon) -> Task:
    word, other = dice.some(lex.words["fruit"], 2)
    times = dice.between(2, 4)
    ko, en = ("두", "세", "네")[times - 2], ("twice", "three times", "four times")[times - 2]
    slots = {"x": word, "w": other}
    return Task(
        _say(f"{{x:을}} {ko} 번 쓰세요.", f"Write {{x}} {en}.", **slots),
        _say(f"{{x:을}} {ko} 번 쓴다.", f"I write {{x}} {en}.", **slots),
        Word(" ".join([word.ko] * times), " ".join([word.en] * times)),
        _say("{w:을} 쓴다.", "I write {w}.", **slots),
        Word(" ".join([other.ko] * times), " ".join([other.en] * times)),
    )


_TASKS = (_use, _sum, _larger, _repeat)
_RAMBLING = (
    Word("글쎄요, 그 말을 들으니 여러 가지가 생각나네요.", "Well, that reminds me of quite a number of things."),
    Word("저는 이런 이야기를 아주 좋아해요.", "I do like to talk about matters of this kind."),
    Word("옛날에는 지금과 많이 달랐다고 해요.", "They say that it was all rather different in the old days."),
    Word("물론 사람마다 생각이 다를 수 있어요.", "Of course, everyone may see it in a different way."),
)


def write_pair(number: int, language: str, params: PreferenceParams) -> tuple[Pair, dict[str, str]]:
    """Pair `number` in `language` (`ko` or `en`), and its `task` and `fault`."""
    dice = KeyedRandom(NAME, params.seed, language, number)
    write, fault = dice.pick(_TASKS), dice.pick(FAULTS)
    tasks = (write(dice, lexicon(0)) for _ in count())
    task = next(task for task in tasks if not is_held_out(_in(language, task.question)))
    thinks = dice.chance(params.thinking)
    question, thought, answer, wrong_thought, wrong = (_in(language, word) for word in task)
    chosen: Message = {"role": "assistant", "content": answer}
    rejected: Message = {"role": "assistant", "content": wrong if fault == "wrong" else answer}
    if fault == "language":
        other = "en" if language == "ko" else "ko"
        rejected["content"] = _in(other, task.answer)
        if rejected["content"] == answer:
            rejected["content"] = _in(other, task.wrong)
    elif fault == "rambling":
        before, middle, after = (_in(language, word) for word in dice.some(_RAMBLING, 3))
        rejected["content"] = f"{before} {middle} {answer} {after}"
    elif fault == "endless":
        rejected["content"] = " ".join([answer] * ENDLESS)
    if thinks:
        chosen["reasoning_content"] = thought
        rejected["reasoning_content"] = wrong_thought if fault == "wrong" else thought
    pair = Pair(
        [{"role": "user", "content": question}],
        chosen,
        rejected,
        unfinished=fault == "endless",
    )
    return pair, {"task": write.__name__.strip("_"), "fault": fault}


def _in(language: str, word: Word) -> str:
    return word.ko if language == "ko" else word.en


def generate(params: PreferenceParams, shard: int = 0, shards: int = 1) -> Iterator[Document]:
    """Part `shard` of `shards`, a contiguous range of the numbers; the shards partition the set."""
    for number in range(params.pairs * shard // shards, params.pairs * (shard + 1) // shards):
        language = ("ko", "en")[number % 2] if params.language == "all" else params.language
        pair, about = write_pair(number, language, params)
        document = Document(
            id=f"{NAME}-{params.seed}-{language}-{number}",
            text="",
            language=language,
            license=LICENSE,
            synthetic=True,
            generator=NAME,
            meta=dict(about),
        )
        yield with_pair(document, pair)
