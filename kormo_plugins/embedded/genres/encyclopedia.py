"""Encyclopedia entries: a place, its land, history, craft and life; each fact of a place is drawn once."""

from __future__ import annotations

from kormo_plugins.embedded.template import both
from kormo_plugins.embedded.writer import Writer

_DEGREES = {"spring": 9, "summer": 23, "autumn": 11, "winter": 0}
"""Lower bound of a season's mean temperature, in degrees Celsius."""


def _facts(w: Writer) -> None:
    dice, words = w.dice, w.lexicon.words
    first = dice.between(1100, 1700)
    second = first + dice.between(80, 200)
    numbers = {
        "area": dice.between(12, 980),
        "height": dice.between(80, 1890),
        "length": dice.between(4, 90),
        "rain": 10 * dice.between(60, 190),
        "temperature": _DEGREES[w.slots["season"].en] + dice.between(0, 6),
        "share": dice.between(20, 80),
        "n": dice.between(2, 48),
        "weight": 10 * dice.between(5, 300),
        "part": dice.between(10, 70),
        "population": dice.between(900, 98_000),
    }
    w.slots.update({name: both(value) for name, value in numbers.items()})
    years = zip(("year1", "year2", "year3"), (first, second, second + dice.between(20, 120)), strict=True)
    w.slots.update({name: both(str(value)) for name, value in years})
    for name in ("region", "crop", "building", "event"):
        w.slots[name] = dice.pick(words[name])
    w.slots["feature"], w.slots["feature2"] = dice.some(words["feature"], 2)
    w.slots["direction"] = dice.pick(words["region"])
    use = dice.pick(w.lexicon.uses[dice.pick(("tool", "vessel", "instrument"))])
    w.slots.update(craft=use.noun, use=use.use, oa=dice.pick(words["a.tool"]))
    w.slots["material"], w.slots["colour"] = dice.pick(words["material"]), dice.pick(words["colour"])
    w.slots["river"] = dice.pick(words["en.town1"] if w.language == "en" else words["town1"])
    w.slots["street"] = w.pair("encyclopedia.street")


def _entry(w: Writer) -> None:
    _facts(w)
    w.title(w.pair("encyclopedia.title"))
    w.say("encyclopedia.open")
    for section in w.dice.some(("land", "history", "craft", "life"), 4):
        if w.full:
            break
        for _ in range(w.dice.between(2, 4)):
            w.say(f"encyclopedia.{section}")
        w.paragraph()
    w.say("encyclopedia.end")
    w.paragraph()


def write(w: Writer) -> None:
    """Entries until the target length is reached: each an opening, sections of two to four facts, and an end."""
    _entry(w)
    while not w.full:
        w.elsewhere()
        _entry(w)
