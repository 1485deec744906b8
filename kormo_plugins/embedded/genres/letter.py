"""Letters and diaries: first person, one speech level from greeting to close."""

from __future__ import annotations

import datetime

from kormo_plugins.embedded import worlds
from kormo_plugins.embedded.lexicon import calendar
from kormo_plugins.embedded.template import Word
from kormo_plugins.embedded.writer import Writer


def write(w: Writer) -> None:
    """A greeting or a date, the day's events until the target length is reached, a close."""
    dice, words = w.dice, w.lexicon.words
    diary = dice.chance(0.5)
    w.register = dice.pick(("plain", "hae") if diary else ("hae", "haeyo", "hapsyo"))
    w.slots.update(his=Word("", "my"), him=Word("", "me"), he=Word("", "I"))
    w.slots["month2"] = dice.pick(calendar()[0])
    day = worlds.day(dice)
    w.slots.update(worlds.date(day))
    opening = "diary" if diary else "greet" if w.register == "hae" else "formal"
    w.line(w.pair(f"letter.{opening}"))
    if diary and w.register == "hae":
        w.register = "plain"
    while True:
        w.slots.update(event=dice.pick(words["event"]), weeks=w.draw("@few"))
        for _ in range(dice.between(3, 9)):
            w.say("letter.body")
            if w.full:
                break
        w.paragraph()
        if w.full:
            break
        w.thing()
        w.slots["venue"] = dice.pick(words["venue"])
        if diary:
            w.say("letter.close")
            day += datetime.timedelta(days=dice.between(1, 12))
            w.slots.update(worlds.date(day))
            w.line(w.pair("letter.date"))
    w.say("letter.close" if diary else "letter.end")
