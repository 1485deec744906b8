"""Draws the small consistent world of a document: people, a town, a date, things with attributes.

The hero's name and the town together encode the document's number, in mixed radix after a keyed affine permutation. A
genre must name both, so two documents of a corpus cannot be equal.
"""

from __future__ import annotations

import datetime
from functools import lru_cache
from math import gcd, prod

from kormo_plugins.embedded.lexicon import Lexicon, calendar
from kormo_plugins.embedded.template import Word, both
from kormo_plugins.korean.morphology import conjugate
from kormo_plugins.store.keyed_random import KeyedRandom, key

THING_KINDS = ("tool", "vessel", "machine", "instrument", "cloth", "paper", "food", "plant", "animal")
_MATERIALS = {"tool": "material", "vessel": "material", "cloth": "fabric"}


@lru_cache(maxsize=64)
def _permutation(size: int, *name: object) -> tuple[int, int]:
    """A multiplier coprime to `size` and an offset: x -> (multiplier * x + offset) mod size is a bijection."""
    multiplier = key("multiplier", *name) % size | 1
    while gcd(multiplier, size) != 1:
        multiplier += 2
    return multiplier, key("offset", *name) % size


def _digits(number: int, radices: list[int]) -> list[int]:
    digits = []
    for radix in radices:
        number, digit = divmod(number, radix)
        digits.append(digit)
    return digits


def identity(lexicon: Lexicon, language: str, number: int, name: tuple[object, ...]) -> dict[str, Word]:
    """The hero (`p` full name, `g` given name, `sex`) and `town` of document `number`: unique for each number below the
    product of the list lengths (millions)."""
    words = lexicon.words
    if language == "en":
        lists = [
            words["en.f"] + words["en.m"],
            words["en.surname1"],
            words["en.surname2"],
            words["en.town1"],
            words["en.town2"],
            words["en.town3"],
        ]
    else:
        lists = [words[part] for part in ("given1", "given2", "surname", "town1", "town2", "town3")]
    radices = [len(entries) for entries in lists]
    size = prod(radices)
    multiplier, offset = _permutation(size, *name)
    digits = _digits((multiplier * (number % size) + offset) % size, radices)
    a, b, c, d, e, f = (entries[digit] for entries, digit in zip(lists, digits, strict=True))
    if language == "en":
        town = f"{d.en}{e.en}" if f.en == "-" else f"{f.en} {d.en}{e.en}"
        given, full = both(a.en), both(f"{a.en} {b.en}{c.en}")
        return {"p": full, "g": given, "town": both(town), "sex": both("f" if a in words["en.f"] else "m")}
    sex = both("f" if (digits[0] + digits[1]) % 2 else "m")
    return {**_korean_person(a, b, c), "town": Word(d.ko + e.ko + f.ko, f"{d.en}{e.en} {f.en}"), "sex": sex}


def _korean_person(a: Word, b: Word, c: Word) -> dict[str, Word]:
    given = Word(a.ko + b.ko, a.en + b.en)
    return {"g": given, "p": Word(c.ko + given.ko, f"{given.en} {c.en}")}


def _person(dice: KeyedRandom, lexicon: Lexicon, language: str) -> dict[str, Word]:
    """A further person: `p`, `g`, `sex`."""
    words = lexicon.words
    sex = "f" if dice.chance(0.5) else "m"
    if language == "en":
        given = dice.pick(words["en." + sex])
        last = dice.pick(words["en.surname1"]).en + dice.pick(words["en.surname2"]).en
        return {"p": both(f"{given.en} {last}"), "g": given, "sex": both(sex)}
    parts = (dice.pick(words[part]) for part in ("given1", "given2", "surname"))
    return {**_korean_person(*parts), "sex": both(sex)}


def pronouns(sex: str, mark: str = "") -> dict[str, Word]:
    """English pronouns as slots `he his him` (with `mark` appended to the key)."""
    texts = ("she", "her", "her") if sex == "f" else ("he", "his", "him")
    return {name + mark: Word("", text) for name, text in zip(("he", "his", "him"), texts, strict=True)}


def thing(dice: KeyedRandom, lexicon: Lexicon, kind: str = "", noun: Word | None = None) -> dict[str, Word]:
    """A thing: `o` its name, `O` with its attributes (`낡은 구리 주전자`, `old copper kettle`), `oa` the attribute, `v`
    `v2` actions on it."""
    kind = kind or dice.pick(THING_KINDS)
    noun = noun or dice.pick(lexicon.words[kind])
    quality = dice.pick(lexicon.words["a." + kind])
    return {**_described(dice, lexicon, kind, noun, quality), **_verbs(dice, lexicon, kind)}


def _described(dice: KeyedRandom, lexicon: Lexicon, kind: str, noun: Word, quality: Word) -> dict[str, Word]:
    head, space, last = quality.ko.rpartition(" ")
    ko = f"{head}{space}{conjugate(last, '는', adjective=True)} "
    en = f"{quality.en} "
    if kind in _MATERIALS and dice.chance(0.5):
        material = dice.pick(lexicon.words[_MATERIALS[kind]])
        if not noun.ko.startswith(material.ko):
            ko, en = f"{ko}{material.ko} ", f"{en}{material.en} "
    if noun.en.startswith(("pair of ", "bowl of ", "plate of ")):
        measure, _, rest = noun.en.partition(" of ")
        full = f"{measure} of {en}{rest}"
    else:
        full = en + noun.en
    return {"o": noun, "O": Word(ko + noun.ko, full), "oa": quality}


def _verbs(dice: KeyedRandom, lexicon: Lexicon, kind: str) -> dict[str, Word]:
    first, second = dice.some(lexicon.words["v." + kind], 2)
    return {"v": first, "v2": second}


def day(dice: KeyedRandom) -> datetime.date:
    """A day between 1950 and 2025."""
    return datetime.date(1950, 1, 1) + datetime.timedelta(days=dice.below(76 * 365))


def date(when: datetime.date) -> dict[str, Word]:
    """`year`, `month`, `day`, `weekday`, `season` (of the month, northern hemisphere)."""
    months, seasons, weekdays = calendar()
    return {
        "year": Word(str(when.year), str(when.year)),
        "month": months[when.month - 1],
        "day": both(when.day),
        "weekday": weekdays[when.weekday()],
        "season": seasons[(when.month % 12 // 3 + 3) % 4],
    }


def world(dice: KeyedRandom, lexicon: Lexicon, language: str, number: int, name: tuple[object, ...]) -> dict[str, Word]:
    """The slots available to every genre.

    The hero `p g he his him job aj`, a second person `q h qhe qhis qhim job2`, `kin` (the second person's relation to
    the first), `town`, `venue`, `venue2`, `weekday`, the date, and a thing.
    """
    words = lexicon.words
    slots = identity(lexicon, language, number, name)
    slots.update(pronouns(slots["sex"].en))
    other = _person(dice, lexicon, language)
    while other["g"] == slots["g"]:
        other = _person(dice, lexicon, language)
    slots.update(q=other["p"], h=other["g"])
    slots.update({"q" + k: v for k, v in pronouns(other["sex"].en).items()})
    slots["job"], slots["job2"] = dice.some(words["job"], 2)
    slots["venue"], slots["venue2"] = dice.some(words["venue"], 2)
    slots.update(aj=dice.pick(words["a.person"]), **date(day(dice)))
    slots.update(hour=both(dice.between(1, 11)), minute=both(5 * dice.between(1, 11)))
    slots.update(thing(dice, lexicon))
    return slots


def further(dice: KeyedRandom, lexicon: Lexicon, language: str) -> dict[str, Word]:
    """Another world for the next part of a long document; only the first part encodes the document's number."""
    return world(dice, lexicon, language, dice.below(1 << 40), ("further",))
