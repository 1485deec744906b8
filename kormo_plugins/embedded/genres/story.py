"""Stories: one hero with one aim, in scenes that each involve a thing and a place."""

from __future__ import annotations

from kormo_plugins.embedded.writer import Writer

SCENES = (
    ("scene", "act", "feel", "act"),
    ("scene", "talk", "talk", "act"),
    ("act", "act", "turn", "feel"),
    ("scene", "act", "act", "talk", "act"),
    ("turn", "act", "talk", "feel"),
    ("act", "talk", "act", "act"),
)


def write(w: Writer) -> None:
    """A beginning, scenes until the target length is reached, and an end that refers to the beginning."""
    w.slots["aim"] = w.dice.pick(w.lexicon.words["v.aim"])
    w.slots["kin"] = w.dice.pick(w.lexicon.words["kin"])
    first = dict(w.slots)
    w.title(w.pair("story.title"))
    w.say("story.open")
    if w.full:
        return
    w.say("story.aim")
    while not w.full:
        for beat in w.dice.pick(SCENES):
            w.say(f"story.{beat}")
        w.thing()
        w.slots["venue"] = w.dice.pick(w.lexicon.words["venue"])
    w.slots.update(first)  # restores the thing and the place of the beginning
    w.say("story.end")
