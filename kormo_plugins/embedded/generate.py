"""Lays documents out in blocks and writes them: `generate(params, shard, shards)`.

A block is a quarter of a megabyte, filled with documents of its own number range until its bytes are used up; a shard
writes every `shards`-th block. The corpus is therefore a function of the parameters only, its shards can be written in
any order, and a larger corpus begins with the blocks of a smaller one (except its last).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module

from kormo_plugins.documents.document import Document
from kormo_plugins.embedded import worlds
from kormo_plugins.embedded.lexicon import lexicon
from kormo_plugins.embedded.params import GENRES, EmbeddedParams
from kormo_plugins.embedded.styles import style
from kormo_plugins.embedded.writer import Writer
from kormo_plugins.store.keyed_random import KeyedRandom

NAME = "embedded"
LICENSE = "Apache-2.0"
BLOCK_BYTES = 250_000
NUMBERS_PER_BLOCK = 4096
"""Document numbers reserved per block, more than it can use."""
TOLERANCE = 0.004
"""A block is full if less than this share of its bytes is left."""
_TURNS = ("ko", "en", "mul", "ko", "en")
"""Order of the languages if all are generated."""
_BYTES = {"ko": 2.5, "en": 1.05, "mul": 4.0}
"""Approximate UTF-8 bytes per character of a document's target length (`mul`: counted by its Korean half)."""


def target_length(dice: KeyedRandom) -> int:
    """Target length in characters: log-uniform over 60 to 3,000, and in 1.5% of documents over 3,000 to 20,000."""
    low, high = (3000, 20_000) if dice.chance(0.015) else (60, 3000)
    return int(low * math.exp(dice.uniform() * math.log(high / low)))


@lru_cache(maxsize=len(GENRES))
def genre_writer(name: str):  # type: ignore[no-untyped-def]
    """The function that writes documents of that genre."""
    return import_module(f"{__package__}.genres.{name}").write


def write_document(language: str, genre: str, number: int, seed: int, style_number: int, room: float) -> str | None:
    """The text of one document, a pure function of its identity; None if it would be longer than `room` bytes.

    Args:
        language: `ko`, `en` or `mul`.
        number: the document's number in its corpus.
        room: bytes left; does not affect the text, only avoids writing one that cannot fit.
    """
    dice = KeyedRandom(NAME, seed, style_number, language, genre, number)
    target = target_length(dice)
    if target * _BYTES[language] > room * 1.5:
        return None
    lex = lexicon(style_number)
    slots = worlds.world(dice, lex, language, number, (NAME, seed, style_number, language))
    writer = Writer(lex, dice, language, target, slots, dice.pick(style(style_number).registers))
    genre_writer(genre)(writer)
    text = writer.text()
    return text if len(text.encode()) <= room else None


def _block(params: EmbeddedParams, block: int, budget: float) -> Iterator[Document]:
    genres = params.genres or list(GENRES)
    left = budget
    for number in range(block * NUMBERS_PER_BLOCK, (block + 1) * NUMBERS_PER_BLOCK):
        if left <= budget * TOLERANCE:
            return
        genre = genres[number % len(genres)]
        turn = number // len(genres) % len(_TURNS)
        language = _TURNS[turn] if params.language == "all" else params.language
        text = write_document(language, genre, number, params.seed, params.style, left + budget * TOLERANCE)
        if text is None:
            continue
        left -= len(text.encode())
        yield Document(
            id=f"{NAME}-{params.style}-{params.seed}-{language}-{genre}-{number}",
            text=text,
            language=language,
            license=LICENSE,
            synthetic=True,
            generator=NAME,
            meta={"genre": genre, "style": params.style},
        )


def generate(params: EmbeddedParams, shard: int = 0, shards: int = 1) -> Iterator[Document]:
    """Every `shards`-th block of the corpus, starting at block `shard`; the shards partition the corpus."""
    total = params.megabytes * 1e6
    for block in range(shard, math.ceil(total / BLOCK_BYTES), shards):
        yield from _block(params, block, min(BLOCK_BYTES, total - block * BLOCK_BYTES))
