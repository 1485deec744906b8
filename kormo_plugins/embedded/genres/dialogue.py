"""Dialogues between two people, each at a speech level that fits their relationship."""

from __future__ import annotations

from kormo_plugins.embedded.template import Word, both
from kormo_plugins.embedded.writer import Writer

LEVELS = (
    ("hae", "hae"),
    ("haeyo", "haeyo"),
    ("hapsyo", "hapsyo"),
    ("hae", "haeyo"),
    ("haeyo", "hapsyo"),
)
"""Speech levels of the two speakers: friends, acquaintances, colleagues, elder and younger, customer and clerk."""
TOPICS = ("thing", "plan", "event", "food", "way", "job", "yesterday")
"""Topics; each has its questions and answers."""


def write(w: Writer) -> None:
    """A line that sets the scene, greetings, exchanges until the target length is reached, goodbyes."""
    dice, words = w.dice, w.lexicon.words
    w.slots.update(
        event=dice.pick(words["event"]),
        vehicle=dice.pick(words["vehicle"]),
        money=both(100 * dice.between(5, 990)),
    )
    w.slots["kin"] = dice.pick(words["kin"])
    w.register = "plain"
    w.title(w.pair("dialogue.place"))
    if not w.style.title:
        w.line(w.pair("dialogue.place"))
    his, me = w.slots["his"], Word("", "my")
    levels = dice.pick(LEVELS)
    names = (w.slots["g"], w.slots["h"])
    turn = dice.below(2)
    w.open("\n")

    def speak(bank: str) -> None:
        """Writes a turn from a phrase bank, and switches the speaker."""
        nonlocal turn
        w.register = levels[turn]
        w.slots["his"] = me
        text, name = w.pair(f"dialogue.{bank}"), names[turn]
        w.write(Word(f"{name.ko}: {text.ko}", f"{name.en}: {text.en}"))
        turn = 1 - turn

    speak("hello")
    while not w.full:
        topic = dice.pick(TOPICS)
        if dice.chance(0.75):
            speak(f"ask.{topic}")
            speak(f"answer.{topic}")
        else:
            speak("tell")
        if dice.chance(0.35):
            speak("reply")
        w.thing()
        w.slots.update(venue2=dice.pick(words["venue"]), vehicle=dice.pick(words["vehicle"]))
    if w.target > 200:
        speak("bye")
        speak("bye")
    w.slots["his"] = his
