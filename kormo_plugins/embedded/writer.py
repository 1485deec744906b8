"""Writes one document: draws phrases from the lexicon, fills them from the world, keeps one or both languages."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd

from kormo_plugins.embedded import worlds
from kormo_plugins.embedded.lexicon import Lexicon
from kormo_plugins.embedded.styles import Style, style
from kormo_plugins.embedded.template import Template, Word
from kormo_plugins.store.keyed_random import KeyedRandom

DIGITS = "0123456789"


@lru_cache(maxsize=512)
def _strides(count: int) -> tuple[int, ...]:
    """The strides with which a circular walk over `count` items visits all of them."""
    return tuple(step for step in range(1, count + 1) if gcd(step, count) == 1)


@dataclass(slots=True)
class Block:
    """A paragraph or a list: its sentences in both languages (one list is empty in a monolingual document)."""

    separator: str = " "
    ko: list[str] = field(default_factory=list)
    en: list[str] = field(default_factory=list)


class Writer:
    """The interface through which a genre writes a document.

    Args:
        language: `ko`, `en`, or `mul` for both.
        target: length in characters (of the first language) at which the document is complete.
        slots: the world; entries added by a genre remain for the rest of the document.
    """

    def __init__(
        self, lexicon: Lexicon, dice: KeyedRandom, language: str, target: int, slots: dict[str, Word], register: str
    ) -> None:
        self.lexicon, self.dice, self.language, self.target = lexicon, dice, language, target
        self.slots, self.register = slots, register
        self.style: Style = style(lexicon.style)
        self.ko, self.en = language != "en", language != "ko"
        self.size = 0
        self.blocks: list[Block] = []
        self._block: Block | None = None
        self._room = 0
        self._walks: dict[str, list[int]] = {}

    # ------------------------------------------------------------------------------------------------ drawing

    def draw(self, key: str) -> Word:
        """An item from the pool that `key` (`@name` or `@name2`) names; phrases are filled."""
        name = key[1:].rstrip(DIGITS)
        item = self._next(name)
        if isinstance(item, Word):
            return item
        self._draw_for(item)
        return Word(self._fill(item, "ko") if self.ko else "", self._fill(item, "en") if self.en else "")

    def _next(self, name: str) -> Word | Template:
        """The next item of the pool in pseudo-random order (a walk with a stride coprime to its size); items repeat
        only after all have been used."""
        pool = self.lexicon.pools[name]
        walk = self._walks.get(name)
        if walk is None or walk[1] == 0:
            count = len(pool)
            index = self.dice.below(count)
            walk = self._walks[name] = [index, count - 1, self.dice.pick(_strides(count))]
            return pool[index]
        walk[0] = index = (walk[0] + walk[2]) % len(pool)
        walk[1] -= 1
        return pool[index]

    def _draw_for(self, template: Template) -> None:
        for key in template.pools:
            self.slots[key] = self.draw(key)

    def _fill(self, template: Template, language: str) -> str:
        return template.fill(self.slots, language, self.register)

    def pair(self, bank: str, **slots: Word) -> Word:
        """A filled phrase of a bank, not written yet."""
        self.slots.update(slots)
        template = self._next(bank)
        assert isinstance(template, Template), bank
        self._draw_for(template)
        ko = self._fill(template, "ko") if self.ko else ""
        en = self._fill(template, "en") if self.en else ""
        return Word(ko, en[:1].upper() + en[1:])

    # ------------------------------------------------------------------------------------------------ writing

    @property
    def full(self) -> bool:
        """Whether the target length is reached."""
        return self.size >= self.target

    def open(self, separator: str = " ", sentences: int = 1 << 30) -> None:
        """Opens a block: `" "` joins sentences to a paragraph, `"\\n"` makes lines."""
        self._block = Block(separator)
        self._room = sentences
        self.blocks.append(self._block)

    def write(self, text: Word) -> None:
        """Adds a pair to the open block; a prose block that is full is closed and a new one opened."""
        if self._block is None or self._room <= 0:
            self.open(" ", self.dice.between(*self.style.paragraph))
        block = self._block
        assert block is not None
        self._room -= 1
        if self.ko:
            block.ko.append(text.ko)
        if self.en:
            block.en.append(text.en)
        self.size += len(text.ko if self.ko else text.en) + 1

    def say(self, bank: str, **slots: Word) -> None:
        """Writes a phrase of a bank as the next sentence."""
        self.write(self.pair(bank, **slots))

    def line(self, text: Word) -> None:
        """Writes a block of one line; prose continues in a new block."""
        self.open("\n")
        self.write(text)
        self._block = None

    def paragraph(self) -> None:
        """Closes the open block."""
        self._block = None

    def title(self, text: Word) -> None:
        """Writes a title line, if the style has titles."""
        if self.style.title:
            shape = self.style.title.format
            self.line(Word(shape(text.ko), shape(text.en)))

    def elsewhere(self) -> None:
        """Moves to another world, for the next part of a long document; all banks are reset."""
        self.slots.update(worlds.further(self.dice, self.lexicon, self.language))
        self._walks.clear()

    def thing(self, kind: str = "") -> None:
        """Draws another thing into the slots `o O oa v v2`."""
        self.slots.update(worlds.thing(self.dice, self.lexicon, kind))

    # ---------------------------------------------------------------------------------------------- rendering

    def text(self) -> str:
        """The finished document."""
        if self.language != "mul":
            return "\n\n".join(b.separator.join(b.ko if self.ko else b.en) for b in self.blocks if b.ko or b.en)
        blocks = [block for block in self.blocks if block.ko]
        layout = self.dice.pick(self.style.bilingual)
        ko = [block.separator.join(block.ko) for block in blocks]
        en = [block.separator.join(block.en) for block in blocks]
        if layout == "halves":
            return "\n\n".join(ko + en)
        if layout == "sentences":
            pairs = (zip(block.ko, block.en, strict=True) for block in blocks)
            return "\n\n".join("\n".join(f"{k}\n{e}" for k, e in pair) for pair in pairs)
        return "\n\n".join(f"{k}\n\n{e}" for k, e in zip(ko, en, strict=True))
