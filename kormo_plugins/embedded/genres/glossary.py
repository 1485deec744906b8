"""Glossaries: words with definition and usage; bilingual ones list word pairs."""

from __future__ import annotations

from kormo_plugins.embedded import worlds
from kormo_plugins.embedded.template import Word
from kormo_plugins.embedded.writer import Writer


def _entry(w: Writer, kind: str) -> None:
    use = w.dice.pick(w.lexicon.uses[kind])
    w.slots.update(worlds.thing(w.dice, w.lexicon, kind, use.noun), use=use.use)
    w.open("\n")
    if w.ko and w.en:
        both_ways = f"{use.noun.ko} ↔ {use.noun.en}"
        w.write(Word(both_ways, both_ways))
    definition = w.pair(f"glossary.{kind}")
    w.write(Word(w.style.bullet + definition.ko, w.style.bullet + definition.en))
    for _ in range(w.dice.between(0, 3)):
        w.say("glossary.example")


def write(w: Writer) -> None:
    """An introduction, then entries until the target length is reached."""
    kinds = sorted(w.lexicon.uses)
    w.line(w.pair("glossary.title"))
    _entry(w, w.dice.pick(kinds))
    while not w.full:
        _entry(w, w.dice.pick(kinds))
