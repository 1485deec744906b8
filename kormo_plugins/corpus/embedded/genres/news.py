"""News items: what happened, details, voices, what comes next."""

from __future__ import annotations

from kormo_plugins.corpus.embedded.lexicon import calendar
from kormo_plugins.corpus.embedded.template import both
from kormo_plugins.corpus.embedded.writer import Writer


def write(w: Writer) -> None:
    """A lead, then details and quotations in turn until the length is reached, then an outlook."""
    dice, words = w.dice, w.lexicon.words
    if w.register in ("hae", "haeyo"):
        w.register = "hapsyo"  # no paper writes in the intimate or the conversational level
    numbers = {
        "n": dice.between(2, 90), "part": dice.between(3, 88), "age": dice.between(19, 92), "days": dice.between(2, 9),
        "age2": dice.between(19, 92), "money": dice.between(30, 990), "count": dice.between(40, 4800),
        "count2": dice.between(10, 600), "hour2": dice.between(3, 12),
    }  # fmt: skip
    w.slots.update({name: both(value) for name, value in numbers.items()})
    w.slots["hour"] = both(dice.between(1, numbers["hour2"] - 1))
    w.slots["month2"] = dice.pick(calendar()[0])
    for name in ("event", "building", "crop"):
        w.slots[name] = dice.pick(words[name])
    w.title(w.pair("news.title"))
    w.say("news.open")
    while not w.full:
        for _ in range(dice.between(1, 3)):
            w.say("news.detail")
        if not w.full:
            w.say("news.quote")
    if w.target > 150:
        w.say("news.end")
