"""Questions and answers: a short report, then questions answered from its facts."""

from __future__ import annotations

from kormo_plugins.embedded.template import Word, both
from kormo_plugins.embedded.writer import Writer

FACTS = ("when", "thing", "why", "friend")


def _account(w: Writer) -> None:
    """One report and its questions."""
    dice, words = w.dice, w.lexicon.words
    values = {"age": dice.between(18, 90), "money": 100 * dice.between(5, 900), "n": dice.between(2, 9)}
    w.slots.update({name: both(value) for name, value in values.items()})
    w.slots["aim"] = dice.pick(words["v.aim"])
    facts = dice.some(FACTS[1:], dice.between(0, 3))
    if facts:
        facts.insert(0, "when")
    w.paragraph()
    w.say("questions.open")
    for fact in facts:
        w.say(f"questions.fact.{fact}")
        if dice.chance(0.5):
            w.say("questions.fact.more")
    for fact in dice.some(["who", "age", *facts], dice.between(1, 2 + len(facts))):
        question, answer = w.pair(f"questions.ask.{fact}"), w.pair(f"questions.answer.{fact}")
        w.open("\n")
        for mark, text in ((w.style.question, question), (w.style.answer, answer)):
            w.write(Word(mark[0] + text.ko, mark[1] + text.en))


def write(w: Writer) -> None:
    """Reports on different people, until the target length is reached."""
    _account(w)
    while not w.full:
        w.elsewhere()
        _account(w)
