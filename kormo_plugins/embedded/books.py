"""Books: long documents about one world, to train and test long contexts.

A chapter is a document of one genre; all chapters share hero, town and trade, and differ in events. The last lines ask
for the hero's trade and name the town, both of which earlier chapters state: they cannot be predicted from the last
thousand tokens alone. Blocks, shards and determinism are as in `generate.py`.
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
"""Genres of the chapters, in rotation; all of them name the hero or the town."""
CHAPTER = (500, 1600)
"""Minimum and maximum characters of a chapter: longer ones would move on to another world."""
NUMBERS_PER_BLOCK = 1024
"""Book numbers reserved per block, more than it can use."""


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
    """Every `shards`-th block of the library, starting at block `shard`; the shards partition the library."""
    total = params.megabytes * 1e6
    for block in range(shard, math.ceil(total / BLOCK_BYTES), shards):
        budget = min(BLOCK_BYTES, total - block * BLOCK_BYTES)
        left = budget
        for number in range(block * NUMBERS_PER_BLOCK, (block + 1) * NUMBERS_PER_BLOCK):
            if left <= budget * TOLERANCE:
                break
            text = write_book(params, number)
            if len(text.encode()) > left + budget * TOLERANCE and left < budget:
                break  # a block ends before the first book that does not fit, unless it is empty
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
