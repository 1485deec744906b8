"""News items: event, details, quotes, outlook; a long document is a bulletin of several."""

from __future__ import annotations

from kormo_plugins.embedded.lexicon import calendar
from kormo_plugins.embedded.template import both
from kormo_plugins.embedded.writer import Writer

KINDS = ("event", "building", "gift", "harvest", "accident", "found")
MOST_TURNS = 4
"""Rounds of details and quotes per item, so that none is repeated with other numbers."""


def _facts(w: Writer) -> None:
    dice, words = w.dice, w.lexicon.words
    numbers = {
        "n": dice.between(2, 90),
        "part": dice.between(3, 88),
        "age": dice.between(19, 92),
        "days": dice.between(2, 9),
        "age2": dice.between(19, 92),
        "money": dice.between(30, 990),
        "count": dice.between(40, 4800),
        "count2": dice.between(10, 600),
        "hour2": dice.between(3, 12),
    }
    w.slots.update({name: both(value) for name, value in numbers.items()})
    w.slots["won"] = both(10_000 * numbers["money"])  # Korean counts in units of ten thousand
    w.slots["hour"] = both(dice.between(1, numbers["hour2"] - 1))
    w.thing(dice.pick(("tool", "vessel", "instrument", "paper")))
    w.slots["month2"] = dice.pick(calendar()[0])
    w.slots["venue"], w.slots["building"] = dice.some(words["building"], 2)
    for name in ("event", "crop"):
        w.slots[name] = dice.pick(words[name])


def _item(w: Writer) -> None:
    kind = w.dice.pick(KINDS)
    _facts(w)
    w.title(w.pair(f"news.title.{kind}"))
    w.say(f"news.open.{kind}")
    for _ in range(MOST_TURNS):
        if w.full:
            return
        for _ in range(w.dice.between(1, 2)):
            w.say("news.detail")
        w.say("news.quote")
    w.say("news.end")
    w.paragraph()


def write(w: Writer) -> None:
    """Items until the target length is reached; the later ones are from other places."""
    if w.register in ("hae", "haeyo"):
        w.register = "hapsyo"  # newspapers use neither the intimate nor the conversational level
    _item(w)
    while not w.full:
        w.elsewhere()
        _item(w)
    if w.target > 150:
        w.say("news.end")
