"""How-to texts: something to cook, to care for or to grow, in numbered steps with amounts."""

from __future__ import annotations

from kormo_plugins.corpus.embedded.template import Word, both
from kormo_plugins.corpus.embedded.writer import Writer

KINDS = (("dish", "cook"), ("care", "work"), ("plant", "grow"))
"""Bank of the opening, bank of the steps."""


def _amounts(w: Writer) -> None:
    dice = w.dice
    values = {
        "n1": dice.between(2, 60), "n2": 10 * dice.between(2, 90), "cm": dice.between(2, 60),
        "ml": 50 * dice.between(2, 40), "minutes": dice.between(2, 55), "degrees": dice.between(26, 95),
        "degrees2": dice.between(2, 18),
    }  # fmt: skip
    w.slots.update({name: both(value) for name, value in values.items()})


def write(w: Writer) -> None:
    """Who does it and what is needed, then steps until the length is reached, with tips between them."""
    dice, words = w.dice, w.lexicon.words
    opening, steps = dice.pick(KINDS)
    if w.register == "hae":
        w.register = "haeyo"
    w.slots.update(dish=dice.pick(words["food"]), plant=dice.pick(words["plant"]), event=dice.pick(words["event"]))
    w.thing(dice.pick(("tool", "vessel", "machine", "instrument", "cloth")))
    w.slots["his"] = Word("", "your")
    w.slots.update(n=both(dice.between(2, 12)), few2=w.draw("@few"))
    w.title(w.pair(f"howto.title.{opening}"))
    _amounts(w)
    w.say(f"howto.{opening}")
    if w.full:
        return
    if opening == "dish":
        w.say("howto.need")
        _amounts(w)
    w.open("\n")
    number = 0
    while not w.full:
        number += 1
        if number > 1 and dice.chance(0.12):
            w.open()
            w.say("howto.tip")
            w.open("\n")
        _amounts(w)
        text = w.pair(f"howto.{steps}")
        w.write(Word(*(w.style.step.format(n=number, text=side) for side in (text.ko, text.en))))
    w.open()
    w.say("howto.tip")
