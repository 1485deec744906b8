"""How-to texts: cooking, maintenance or gardening, in numbered steps with amounts."""

from __future__ import annotations

from kormo_plugins.embedded.template import Word, both
from kormo_plugins.embedded.writer import Writer

KINDS = (("dish", "cook"), ("care", "work"), ("plant", "grow"))
"""Phrase bank of the opening, phrase bank of the steps."""


def _amounts(w: Writer) -> None:
    dice = w.dice
    values = {
        "n1": dice.between(2, 60),
        "n2": 10 * dice.between(2, 90),
        "cm": dice.between(2, 60),
        "ml": 50 * dice.between(2, 40),
        "minutes": dice.between(2, 55),
        "degrees": dice.between(26, 40),
        "small": dice.between(1, 6),
        "heat": 10 * dice.between(9, 22),
        "degrees2": dice.between(2, 18),
    }
    w.slots.update({name: both(value) for name, value in values.items()})


MOST_STEPS = 7
"""Steps per text: fewer than a bank holds, so that none is repeated."""


def _text(w: Writer) -> None:
    dice, words = w.dice, w.lexicon.words
    opening, steps = dice.pick(KINDS)
    w.slots.update(dish=dice.pick(words["food"]), plant=dice.pick(words["plant"]))
    w.thing(dice.pick(("tool", "vessel", "machine", "instrument", "cloth")))
    w.slots.update(his=Word("", "your"), n=both(dice.between(2, 12)), few2=w.draw("@few"))
    w.paragraph()
    w.title(w.pair(f"howto.title.{opening}"))
    _amounts(w)
    w.say(f"howto.{opening}")
    if opening == "dish" and not w.full:
        w.say("howto.need")
    w.open("\n")
    number = 0
    while number < MOST_STEPS and not w.full:
        number += 1
        _amounts(w)
        text = w.pair(f"howto.{steps}")
        shape = w.style.step.format
        w.write(Word(shape(n=number, text=text.ko), shape(n=number, text=text.en)))
    w.open()
    w.say("howto.tip")
    if not w.full:
        w.say("howto.tip")


def write(w: Writer) -> None:
    """Texts by different people until the target length is reached: who, ingredients or tools, steps, a tip or two."""
    if w.register == "hae":
        w.register = "haeyo"
    _text(w)
    while not w.full:
        w.elsewhere()
        _text(w)
