"""Books: long documents about one world, so that a long context has something to remember.

A chapter is a document of one genre, all of them about the same hero, town and trade; what happens differs. The last
lines ask for the hero's trade and name the town, which the chapters before have said: a reader who sees only the last
thousand tokens has to guess. Blocks, shards and sameness are those of `generate.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from kormo_plugins.documents.document import Document
from kormo_plugins.embedded import worlds
from kormo_plugins.embedded.generate import BLOCK_BYTES, LICENSE, TOLERANCE, genre_writer
from kormo_plugins.embedded.lexicon import lexicon
from kormo_plugins.embedded.params import BooksParams
from kormo_plugins.embedded.styles import style
from kormo_plugins.embedded.template import Word
from kormo_plugins.embedded.writer import Writer
from kormo_plugins.store.keyed_random import KeyedRandom

NAME = "embedded_books"
CHAPTERS = ("story", "encyclopedia", "dialogue", "news", "letter", "questions", "howto")
"""Genres of the chapters, in turn; all of them name the hero or the town."""
CHAPTER = (500, 1600)
"""Characters of a chapter, least and most: longer ones would leave for another world."""
NUMBERS_PER_BLOCK = 1024
"""Book numbers set aside for a block, more than it can use."""


def write_book(params: BooksParams, number: int) -> str:
    """The text of one book, a pure function of the parameters and its number."""
    language = params.language
    dice = KeyedRandom(NAME, params.seed, params.style, language, number)
    low, high = params.characters
    target = int(low * math.exp(dice.uniform() * math.log(high / low)))
    lex = lexicon(params.style)
    world = worlds.world(dice, lex, language, number, (NAME, params.seed, params.style, language))
    register = dice.pick(style(params.style).registers)
    order = dice.some(CHAPTERS, len(CHAPTERS))
    chapters: list[str] = []
    size = 0
    while size < target:
        here = len(chapters)
        own = KeyedRandom(NAME, params.seed, params.style, language, number, "chapter", here)
        slots = {**world, **worlds.thing(own, lex), **worlds.date(worlds.day(own))}
        writer = Writer(lex, own, language, min(own.between(*CHAPTER), max(target - size, CHAPTER[0])), slots, register)
        writer.line(Word(f"제{here + 1}장", f"Chapter {here + 1}"))
        genre_writer(order[here % len(order)])(writer)
        chapters.append(writer.text())
        size += writer.size
    last = Writer(lex, dice, language, 1, dict(world), register)
    question, answer = last.pair("questions.ask.who"), last.pair("questions.answer.who")
    last.open("\n")
    for mark, text in ((last.style.question, question), (last.style.answer, answer)):
        last.write(Word(mark[0] + text.ko, mark[1] + text.en))
    last.line(Word(f"{world['town'].ko}, 끝", f"{world['town'].en}, the end"))
    return "\n\n".join([*chapters, last.text()])


def generate(params: BooksParams, shard: int = 0, shards: int = 1) -> Iterator[Document]:
    """Every `shards`-th block of the library, from block `shard` on. The union over shards is the library, once."""
    total = params.megabytes * 1e6
    for block in range(shard, math.ceil(total / BLOCK_BYTES), shards):
        budget = min(BLOCK_BYTES, total - block * BLOCK_BYTES)
        left = budget
        for number in range(block * NUMBERS_PER_BLOCK, (block + 1) * NUMBERS_PER_BLOCK):
            if left <= budget * TOLERANCE:
                break
            text = write_book(params, number)
            if len(text.encode()) > left + budget * TOLERANCE and left < budget:
                break  # a block ends with the first book that does not fit; an empty one takes it
            left -= len(text.encode())
            yield Document(
                id=f"{NAME}-{params.style}-{params.seed}-{params.language}-{number}",
                text=text,
                language=params.language,
                license=LICENSE,
                synthetic=True,
                generator=NAME,
                meta={"genre": "book", "style": params.style},
            )
