"""The questions of embedded conversations, with their correct answers.

A task is a function that writes one exchange through a `Writer`: question, thought, answer. All answers are a few words
long, so that a model of a million parameters can learn to answer and then to stop:

    greeting     hello, thanks, goodbye: the matching reply
    repeat       a word, a given number of times
    yesno        which of two numbers is larger; whether something is of a kind
    word         a stated fact, asked for in one word or in a sentence
    arithmetic   two one-digit numbers: plus, minus, times, or as a word problem
    count        the number of words in a list
    list         a list, one item per line
    copy         a sentence, verbatim

Numbers are computed and facts are taken from the sentence that states them, so answers are always correct.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kormo_plugins.embedded.template import Word, both
from kormo_plugins.embedded.writer import Writer

LEVELS = ("hae", "haeyo", "hapsyo")
"""Speech levels of users; the assistant always speaks politely."""
ASSISTANT = "hapsyo"
YES, NO = Word("예", "Yes"), Word("아니요", "No")
TIMES = {2: Word("두", "two"), 3: Word("세", "three"), 4: Word("네", "four")}
KINDS = {
    "animal": Word("동물", "animal"),
    "plant": Word("식물", "plant"),
    "machine": Word("기계", "machine"),
    "instrument": Word("악기", "musical instrument"),
}
"""Mutually exclusive kinds."""


class Exchange(NamedTuple):
    """One question with its answer, in both languages; only the writer's language is filled."""

    question: Word
    thought: Word | None
    answer: Word
    difficulty: int


def _ask(w: Writer, *banks: str) -> Word:
    """The user's text: phrases in sequence, at the speech level drawn for the conversation."""
    parts = [w.pair(f"chat.{bank}") for bank in banks]
    return Word(" ".join(part.ko for part in parts), " ".join(part.en for part in parts))


def _say(w: Writer, bank: str, register: str) -> Word:
    previous, w.register = w.register, register
    text = w.pair(f"chat.{bank}")
    w.register = previous
    return text


def _think(w: Writer, bank: str) -> Word:
    return _say(w, f"{bank}.think", "plain")


def _answer(w: Writer, bank: str) -> Word:
    return _say(w, bank, ASSISTANT)


def greeting(w: Writer) -> Exchange:
    """A greeting and its reply; has no thought."""
    kind = w.dice.pick(("hello", "hello", "thanks", "bye"))
    return Exchange(_ask(w, f"{kind}.ask"), None, _answer(w, f"{kind}.answer"), 0)


def repeat(w: Writer) -> Exchange:
    """A word, two to four times."""
    number, word = w.dice.between(2, 4), w.dice.pick(w.lexicon.words["fruit"])
    w.slots.update(word=word, times=TIMES[number])
    answer = Word(" ".join([word.ko] * number), " ".join([word.en] * number))
    return Exchange(_ask(w, "repeat.ask"), _think(w, "repeat"), answer, 1)


def yesno(w: Writer) -> Exchange:
    """A comparison of two numbers, or of a thing with a kind."""
    if w.dice.chance(0.5):
        a, b = w.dice.some(range(10), 2)
        w.slots.update({k: both(v) for k, v in {"a": a, "b": b, "low": min(a, b), "high": max(a, b)}.items()})
        bank, right = "more", a > b
    else:
        own = w.dice.pick(tuple(KINDS))
        other = own if w.dice.chance(0.5) else w.dice.pick([kind for kind in KINDS if kind != own])
        w.slots.update(x=w.dice.pick(w.lexicon.words[own]), own=KINDS[own], k=KINDS[other])
        bank, right = "kind", own == other
    thought = _think(w, bank)
    if w.dice.chance(0.7):
        return Exchange(_ask(w, f"{bank}.ask", "only.yesno"), thought, YES if right else NO, 1)
    return Exchange(_ask(w, f"{bank}.ask"), thought, _answer(w, f"{bank}.{'yes' if right else 'no'}"), 2)


def word(w: Writer) -> Exchange:
    """A fact about a person, then a question about it."""
    fact_bank, question_bank, slot = w.dice.pick(
        (("job", "job", "job"), ("place", "place", "venue"), ("place", "day", "weekday"), ("thing", "thing", "item"))
    )
    w.slots["item"] = w.dice.pick(w.lexicon.words["fruit"])
    fact = _ask(w, f"{fact_bank}.fact")
    w.slots.update(fact=fact, word=w.slots[slot])
    thought = _think(w, "fact")
    short = w.dice.chance(0.7)
    question = _ask(w, f"{question_bank}.ask", *(["only.word"] if short else []))
    answer = w.slots[slot] if short else _answer(w, f"{question_bank}.answer")
    return Exchange(Word(f"{fact.ko} {question.ko}", f"{fact.en} {question.en}"), thought, answer, 2 if short else 3)


def arithmetic(w: Writer) -> Exchange:
    """Two one-digit numbers."""
    kind = w.dice.pick(("plus", "minus", "times", "story"))
    a, b = w.dice.between(2, 9), w.dice.between(2, 9)
    if kind == "minus" and b > a:
        a, b = b, a
    result = {"minus": a - b, "times": a * b}.get(kind, a + b)
    w.slots.update({"a": both(a), "b": both(b), "r": both(result)})
    w.slots["item"] = w.dice.pick(w.lexicon.words["fruit"])
    short = kind == "story" or w.dice.chance(0.7)
    question = _ask(w, f"{kind}.ask", *(["only.number"] if short else []))
    answer = both(result) if short else _answer(w, "number.answer")
    return Exchange(question, _think(w, kind), answer, 3 if kind in ("story", "times") else 2)


def _some(w: Writer) -> list[Word]:
    chosen = w.dice.some(w.lexicon.words["fruit"], w.dice.between(2, 5))
    w.slots["list"] = Word(", ".join(item.ko for item in chosen), ", ".join(item.en for item in chosen))
    return chosen


def count(w: Writer) -> Exchange:
    """The length of a list."""
    chosen = _some(w)
    numbered = [(item, number) for number, item in enumerate(chosen, 1)]
    w.slots["counted"] = Word(
        ", ".join(f"{item.ko} {n}" for item, n in numbered), ", ".join(f"{item.en} {n}" for item, n in numbered)
    )
    w.slots["r"] = both(len(chosen))
    short = w.dice.chance(0.7)
    question = _ask(w, "count.ask", *(["only.number"] if short else []))
    return Exchange(question, _think(w, "count"), w.slots["r"] if short else _answer(w, "count.answer"), 2)


def listing(w: Writer) -> Exchange:
    """A list, line by line."""
    chosen = _some(w)
    answer = Word("\n".join(f"- {item.ko}" for item in chosen), "\n".join(f"- {item.en}" for item in chosen))
    return Exchange(_ask(w, "list.ask"), _think(w, "list"), answer, 2)


def copy(w: Writer) -> Exchange:
    """A sentence verbatim; has no thought."""
    w.slots["item"] = w.dice.pick(w.lexicon.words["fruit"])
    w.slots["fact"] = _ask(w, w.dice.pick(("job.fact", "place.fact", "thing.fact")))
    return Exchange(_ask(w, "copy.ask"), None, w.slots["fact"], 3)


WRITE: dict[str, Callable[[Writer], Exchange]] = {
    "greeting": greeting,
    "repeat": repeat,
    "yesno": yesno,
    "word": word,
    "arithmetic": arithmetic,
    "count": count,
    "list": listing,
    "copy": copy,
}
