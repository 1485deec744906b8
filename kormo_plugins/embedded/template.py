"""Sentence pairs with slots, and the words that fill them.

    {p:은} 아침마다 {O:을} {v:past}.         {p} {v:past} {O:a} every morning.

A slot is `{key}` or `{key:form}`. In Korean the form is a particle or an ending (`morphology`), in English `a` (an
article), `pl`, or a verb form (`english`). Prefixes of the key:

- `@name`: drawn from the pool `name`, once for both languages (`@name2` draws again);
- `!가다`, `~크다`, `=봄`: a fixed Korean verb, adjective or noun, inflected by the speech level.

Templates are compiled once per (language, speech level) to literals and bound functions, because a corpus fills them
some ten thousand times per second.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import NamedTuple

from kormo_plugins.embedded import english
from kormo_plugins.korean import morphology, sounds

_SLOT = re.compile(r"\{([@!~=]?[^{}:]+)(?::([^{}]*))?\}")
_POOL = re.compile(r"\{(@[a-z_.]+\d*)")


class Word(NamedTuple):
    """A word or phrase in both languages (a tuple, because some hundred thousand are created per second).

    Args:
        ko: Korean; a verb or adjective in its dictionary form, as the last word of the phrase.
        en: English; a verb in its base form, as the first word of the phrase.
        adjective: the Korean is an adjective (큰, not 크는).
    """

    ko: str
    en: str
    adjective: bool = False


def both(value: object) -> Word:
    """A value that is the same in both languages: numbers, codes, Latin names."""
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return Word(text, text)


Slots = Mapping[str, Word]
Piece = tuple[str, str, Callable[[Word], str]]
"""A literal, the slot after it, and the function that writes that slot."""


def _korean(form: str, register: str) -> Callable[[Word], str]:
    if not form:
        return attrgetter("ko")
    if form in morphology.PARTICLES or form in morphology.COPULAS:
        closed, opened, liquid = (morphology.particle(word, form, register) for word in ("책", "나무", "물"))
        after = dict.fromkeys(sounds.TAILS, closed)
        after["ㄹ"] = liquid
        after[""] = opened
        sound = sounds.final_sound
        return lambda word: word.ko + after[sound(word.ko)]

    bend = morphology.conjugate

    def bent(word: Word) -> str:
        """The Korean word with its last part inflected."""
        head, space, last = word.ko.rpartition(" ")
        return head + space + bend(last, form, adjective=word.adjective, register=register)

    return bent


def _english(form: str) -> Callable[[Word], str]:
    if not form:
        return attrgetter("en")
    if form == "a":
        return lambda word: f"{english.article(word.en)} {word.en}"
    if form == "pl":
        return lambda word: english.plural(word.en)
    if form == "cap":
        return lambda word: word.en[:1].upper() + word.en[1:]
    return lambda word: english.conjugate_phrase(word.en, form)


def _constant(key: str, form: str, register: str) -> str:
    mark, text = key[0], key[1:]
    if mark == "=":
        return text + morphology.particle(text, form, register)
    return _korean(form, register)(Word(text, "", adjective=mark == "~"))


class Template:
    """A pair of texts with slots.

    Args:
        ko, en: the texts.
    Raises:
        ValueError: (on first use) a form that does not exist in the language.
    """

    __slots__ = ("_compiled", "en", "ko", "pools")

    def __init__(self, ko: str, en: str) -> None:
        self.ko, self.en = ko, en
        self.pools = tuple(sorted(set(_POOL.findall(ko)) | set(_POOL.findall(en))))
        """Keys to draw before filling, with their `@`."""
        self._compiled: dict[tuple[str, str], tuple[tuple[Piece, ...], str]] = {}

    def _compile(self, language: str, register: str) -> tuple[tuple[Piece, ...], str]:
        pieces: list[Piece] = []
        literal, end = "", 0
        text = self.ko if language == "ko" else self.en
        for match in _SLOT.finditer(text):
            literal += text[end : match.start()]
            key, form, end = match[1], match[2] or "", match.end()
            if key[0] in "!~=":
                literal += _constant(key, form, register)
                continue
            write = _korean(form, register) if language == "ko" else _english(form)
            pieces.append((literal, key, write))
            literal = ""
        compiled = self._compiled[language, register] = (tuple(pieces), literal + text[end:])
        return compiled

    def fill(self, slots: Slots, language: str, register: str) -> str:
        """The text in `language` (`ko` or `en`), with `slots` (all keys, including drawn ones) filled in."""
        pieces, tail = self._compiled.get((language, register)) or self._compile(language, register)
        parts = []
        for literal, key, write in pieces:
            parts.append(literal)
            parts.append(write(slots[key]))
        parts.append(tail)
        return "".join(parts)
